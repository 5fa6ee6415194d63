/** The checks of `doctor` that need no network: settings, files, key, dates, clock, modes, queue. */

import { BUILT_AT, grantHint } from "../core/build.ts";
import { place } from "../core/endpoint.ts";
import { type Check, type Finding, findingOf, ok } from "./checks.ts";
import { lookAtListen } from "./listen.ts";
import { EXIT, messageOf, UserError } from "../core/errors.ts";
import {
  authoritiesOf,
  authorityWarning,
  checkClock,
  checkDates,
  checkKey,
  checkOwners,
  dayOf,
  describeCertificate,
  findIdentityFiles,
  type IdentityFiles,
  ownerOf,
  type ParsedIdentity,
  parseIdentity,
  readIdentityTexts,
} from "../identity/mod.ts";
import {
  type CommandLine,
  type LoadedSettings,
  loadSettings,
  type Settings,
} from "../settings/mod.ts";
import { userName } from "../core/file_guard.ts";
import { missingActions } from "./policy.ts";
import {
  DamagedQueueError,
  holdStateDirectory,
  openQueue,
  queueOptions,
  queuePathOf,
  volatileWarning,
} from "../queue/mod.ts";
import { quote, roundSize, toSeconds } from "../core/text.ts";
import { sourceLimits } from "../sources/mod.ts";
import type { World } from "../core/process.ts";
import { checkEnvironment, checkGrants } from "../connection/mod.ts";

/** What the command line says. */
export interface DoctorCommand extends CommandLine {
  /** `--policy-file`. */
  readonly policyFile: string | undefined;
}

/** What the checks have found out so far; each adds what later ones need. */
export interface Case {
  loaded?: LoadedSettings;
  files?: IdentityFiles;
  parsed?: ParsedIdentity;
  /** The device certificate is not valid at this time. */
  isOutOfDate?: boolean;
  /** Another mqtt443 runs on this state directory, most likely with this client id. */
  isBusy?: boolean;
}

/** The local checks, in their order. */
export function localChecks(command: DoctorCommand, world: World, facts: Case): Check[] {
  const clock = { now: world.now(), builtAt: BUILT_AT };
  return [
    { name: "settings", needs: [], look: () => lookAtSettings(command, world, facts) },
    { name: "files", needs: ["settings"], look: () => lookAtFiles(facts) },
    {
      name: "key-match",
      needs: ["files"],
      look() {
        checkKey(facts.files!, facts.parsed!);
        return ok("the key belongs to the certificate");
      },
    },
    {
      name: "dates",
      needs: ["files"],
      look() {
        if (checkClock(clock)) return ok("not judged: the clock is wrong (see clock)");
        facts.isOutOfDate = true;
        const [warning] = checkDates(facts.files!.cert, facts.parsed!.facts, clock);
        facts.isOutOfDate = false;
        const { facts: { validFrom, validTo }, ca } = facts.parsed!;
        const doubt = warning ?? authorityWarning(facts.files!.ca, authoritiesOf(ca), clock);
        return doubt
          ? findingOf(doubt, "warn")
          : ok(`valid from ${toSeconds(validFrom)} to ${toSeconds(validTo)}`);
      },
    },
    {
      name: "clock",
      needs: [],
      look() {
        const wrong = checkClock(clock);
        return wrong
          ? findingOf(wrong, "warn")
          : ok(`${toSeconds(clock.now)} (compare it with a watch)`);
      },
    },
    {
      name: "file-modes",
      needs: ["files"],
      look() {
        const user = judgeOf(facts.files!);
        checkOwners(facts.files!, user);
        const saw = "no one else can read or replace the key";
        if (user === Deno.uid()) return ok(saw);
        const name = userName(user!);
        return {
          status: "warn",
          saw: `${saw}; the files belong to user ${name}, and this is root`,
          cause: `as root \`mqtt443 publish\` refuses them; as user ${name} it takes them`,
          hint: runAs(name),
        };
      },
    },
    { name: "queue", needs: ["settings"], look: () => lookAtQueue(facts, world) },
    {
      name: "listen",
      needs: ["settings"],
      look: () => lookAtListen(facts.loaded!.settings, facts.isBusy ?? false),
    },
  ];
}

function lookAtSettings(command: DoctorCommand, world: World, facts: Case): Finding {
  const warnings: string[] = [];
  checkEnvironment(world.env, {
    debug() {},
    info() {},
    warn: (_event, fields) => void warnings.push(String(fields?.cause)),
    error() {},
  });
  const loaded = loadSettings(command, world, { needEndpoint: true });
  const { settings, configPath } = loaded;
  checkGrants(settings);
  facts.loaded = loaded;
  const saw =
    `${place(settings)}, client id ${quote(settings.clientId)}, topic ${quote(settings.topic)}, ` +
    `from ${configPath ?? "no settings file"}`;
  const policy = policyProblem(command.policyFile, settings);
  if (policy) return { ...policy, saw: `${saw}; ${policy.saw}` };
  if (warnings.length === 0) {
    const limits = sourceLimits(settings.source);
    const note = limits === undefined ? "" : `; ${limits.message}: ${limits.hint}`;
    return ok(`${saw}${note}`, `${place(settings)}, client id ${quote(settings.clientId)}${note}`);
  }
  return {
    status: "warn",
    saw: `${saw}; ${warnings.join("; ")}`,
    cause: "variables in the environment that are meant to change TLS; they have no effect here",
    hint: "unset them; trust is set with --ca",
  };
}

/** Whether the policy document that was given lets this device publish. */
function policyProblem(path: string | undefined, settings: Settings): Finding | undefined {
  if (path === undefined) return undefined;
  let missing: string[];
  try {
    missing = missingActions(JSON.parse(Deno.readTextFileSync(path)), settings);
  } catch (cause) {
    throw new UserError(`Cannot use policy file ${quote(path)}: ${messageOf(cause)}`, {
      hint: cause instanceof Deno.errors.NotCapable
        ? grantHint()
        : "pass the policy's JSON document with --policy-file PATH",
      exitCode: EXIT.config,
      step: "settings",
      cause,
    });
  }
  if (missing.length === 0) return undefined;
  return {
    status: "warn",
    saw: `${quote(path)} does not allow ${missing.join(", nor ")}`,
    cause: "if that is the policy in force, the endpoint will hang up",
    hint: "`mqtt443 doctor --policy` prints a policy that allows it",
  };
}

function lookAtFiles(facts: Case): Finding {
  const files = findIdentityFiles(facts.loaded!.settings);
  const parsed = parseIdentity(files, readIdentityTexts(files));
  facts.files = files;
  facts.parsed = parsed;
  const kind = parsed.key.asymmetricKeyType ?? "unknown kind";
  const { subject, validTo } = parsed.facts;
  const ca = (name: (path: string) => string) =>
    files.ca.map((path) => quote(name(path))).join(", ") || "the public roots";
  return ok(
    `certificate ${quote(files.cert)}: ${describeCertificate(parsed.facts)}; key ${
      quote(files.key)
    }: ${kind}; CA: ${ca((path) => path)}`,
    `certificate ${quote(subject)} to ${dayOf(validTo)}, key (${kind}), CA ${
      ca((path) => path.replace(/^.*\//, ""))
    }`,
  );
}

/** Whose word counts: to root, when the key is another user's, that user's, as it is the one that publishes. */
function judgeOf(files: IdentityFiles): number | null {
  const owner = Deno.uid() === 0 ? ownerOf(files.key) : undefined;
  return owner ?? Deno.uid();
}

function runAs(name: string): string {
  const user = /^\d/.test(name) ? `'#${name}'` : name;
  return `run it as the user that publishes: \`sudo -u ${user} mqtt443 doctor\``;
}

async function lookAtQueue(facts: Case, world: World): Promise<Finding> {
  const { settings } = facts.loaded!;
  if (settings.durability === "none") {
    return ok("nothing is kept on disk (durability none)");
  }
  const path = queuePathOf(settings.state);
  const owner = ownerOf(settings.state);
  if (Deno.uid() === 0 && owner !== undefined && owner !== 0) {
    const name = userName(owner);
    // Whether a publisher runs there is not known then.
    facts.isBusy = true;
    return {
      status: "warn",
      saw: `${quote(settings.state)} belongs to user ${name}, and this is root: not looked into`,
      cause: `what root writes there user ${name} may not write to`,
      hint: runAs(name),
    };
  }
  let held;
  try {
    held = holdStateDirectory(settings.state);
  } catch (error) {
    if (!(error instanceof UserError) || !/another mqtt443/.test(error.message)) throw error;
    facts.isBusy = true;
    return {
      status: "warn",
      saw: `${quote(path)} is in use by a running mqtt443`,
      cause: "a publisher runs on this state directory; connecting now would throw it out",
      hint: "to check the connection too, stop it first (`systemctl stop mqtt443`)",
    };
  }
  try {
    const queue = openQueue(path, { ...queueOptions(settings, world), delivered: held.delivered });
    const { waiting, bytes, quarantined, dropped } = queue.stats();
    queue.close();
    const brief = `${waiting} waiting (${
      roundSize(bytes)
    }), ${quarantined} quarantined, ${dropped} dropped`;
    const saw = `${quote(path)}: ${brief}`;
    if (quarantined > 0) {
      return {
        status: "warn",
        saw,
        cause: "the endpoint did not take these messages",
        hint: "see the log for the reason; `mqtt443 queue clear` discards them",
      };
    }
    const warning = await volatileWarning(settings);
    return warning ? { ...findingOf(warning, "warn"), saw } : ok(saw, brief);
  } catch (error) {
    if (!(error instanceof DamagedQueueError)) throw error;
    return {
      ...findingOf(error, "warn"),
      hint: "nothing to do: `mqtt443 publish` moves it aside and saves what can be read of it",
    };
  } finally {
    held.release();
  }
}
