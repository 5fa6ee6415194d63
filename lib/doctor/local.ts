/** The checks of `doctor` that need no network: settings, files, key, dates, clock, modes. The queue's is queue.ts. */

import { BUILT_AT, grantHint } from "../core/build.ts";
import { place } from "../core/endpoint.ts";
import type { Check, Found } from "./checks.ts";
import { type Finding, findingOf, ok } from "./finding.ts";
import { type Known, need } from "./facts.ts";
import { EXIT, messageOf, UserError } from "../core/errors.ts";
import {
  authoritiesOf,
  authorityWarning,
  checkClock,
  checkDates,
  checkKey,
  checkOwners,
  type ClockFacts,
  dayOf,
  describeCertificate,
  findIdentityFiles,
  type IdentityFiles,
  ownerOf,
  parseIdentity,
  readIdentityTexts,
} from "../identity/mod.ts";
import { type CommandLine, loadSettings, type Settings, settingsDoubt } from "../settings/mod.ts";
import { userName } from "../core/file_guard.ts";
import { judgePolicy, type PolicyVerdict } from "./policy.ts";
import { quote, toSeconds } from "../core/text.ts";
import { sourceLimits } from "../sources/mod.ts";
import type { World } from "../core/process.ts";
import { checkEnvironment, checkGrants, proxyVariable } from "../connection/mod.ts";

/** What the command line says. */
export interface DoctorCommand extends CommandLine {
  /** `--policy-file`. */
  readonly policyFile: string | undefined;
  /** `--yes`: a test message may run a rule of AWS. */
  readonly isYes: boolean;
}

/** The local checks, in their order. */
export function localChecks(command: DoctorCommand, world: World): Check[] {
  const clock = { now: world.now(), builtAt: BUILT_AT };
  return [
    { name: "settings", needs: [], look: () => lookAtSettings(command, world) },
    { name: "files", needs: ["settings"], look: lookAtFiles },
    {
      name: "key-match",
      needs: ["files"],
      look(known) {
        const parsed = need(known, "parsed");
        checkKey(parsed);
        return ok(
          parsed.device
            ? "the key belongs to the certificate"
            : "no certificate: a user name stands in for it",
        );
      },
    },
    { name: "dates", needs: ["files"], look: (known) => lookAtDates(known, clock) },
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
      look(known) {
        const files = need(known, "files");
        const user = judgeOf(files);
        checkOwners(files, user);
        const saw = "no one else can read or replace the key";
        if (user === Deno.uid()) return ok(saw);
        const name = userName(user!);
        return {
          status: "warn",
          code: "run-as-publisher",
          saw: `${saw}; the files belong to user ${name}, and this is root`,
          cause: `as root \`mqtt443 publish\` refuses them; as user ${name} it takes them`,
          hint: runAs(name),
        };
      },
    },
  ];
}

function lookAtSettings(command: DoctorCommand, world: World): Found {
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
  const facts = { loaded };
  const at = `${place(settings)}${
    settings.proxy === undefined ? "" : ` through ${settings.proxy}`
  }`;
  const saw = `${at}, client id ${quote(settings.clientId)}, topic ${quote(settings.topic)}, ` +
    `from ${configPath ?? "no settings file"}`;
  const policy = policyProblem(command.policyFile, settings);
  if (policy) return { ...policy, saw: `${saw}; ${policy.saw}`, facts };
  const doubt = settingsDoubt(settings);
  if (doubt) return { status: "warn", ...doubt, saw: [saw, ...warnings].join("; "), facts };
  const proxy = proxyVariable(world.env, settings);
  if (proxy) {
    const all = [saw, ...warnings, proxy.cause].join("; ");
    return { status: "warn", code: "environment-ignored", ...proxy, saw: all, facts };
  }
  if (warnings.length === 0) {
    const limits = sourceLimits(settings.source);
    const note = limits === undefined ? "" : `; ${limits.message}: ${limits.hint}`;
    return {
      ...ok(`${saw}${note}`, `${at}, client id ${quote(settings.clientId)}${note}`),
      facts,
    };
  }
  return {
    status: "warn",
    code: "environment-ignored",
    facts,
    saw: `${saw}; ${warnings.join("; ")}`,
    cause: "variables in the environment that are meant to change TLS; they have no effect here",
    hint: "unset them; trust is set with --ca",
  };
}

/** Whether the policy document that was given lets this device publish. */
function policyProblem(path: string | undefined, settings: Settings): Finding | undefined {
  if (path === undefined) return undefined;
  let verdict: PolicyVerdict;
  try {
    verdict = judgePolicy(JSON.parse(Deno.readTextFileSync(path)), settings);
  } catch (cause) {
    throw new UserError(`Cannot use policy file ${quote(path)}: ${messageOf(cause)}`, {
      code: "wrong-policy-file",
      hint: cause instanceof Deno.errors.NotCapable
        ? grantHint()
        : "pass the policy's JSON document with --policy-file PATH",
      exitCode: EXIT.config,
      step: "settings",
      cause,
    });
  }
  const { missing, unjudged } = verdict;
  if (missing.length === 0 && unjudged.length > 0) {
    return {
      status: "warn",
      code: "policy-unjudged",
      saw: `${quote(path)} allows ${
        unjudged.join(", and ")
      } under a condition or variable that only AWS knows`,
      cause: "whether it allows this device cannot be judged here",
      hint: "compare it with what `mqtt443 doctor --policy` prints",
    };
  }
  if (missing.length === 0) return undefined;
  return {
    status: "warn",
    code: "policy-lacks-action",
    saw: `${quote(path)} does not allow ${missing.join(", nor ")}`,
    cause: "if that is the policy in force, the endpoint will hang up",
    hint: "`mqtt443 doctor --policy` prints a policy that allows it",
  };
}

function lookAtFiles(known: Known): Found {
  const files = findIdentityFiles(need(known, "loaded").settings);
  const parsed = parseIdentity(files, readIdentityTexts(files));
  const facts = { files, parsed };
  const ca = (name: (path: string) => string) =>
    files.ca.map((path) => quote(name(path))).join(", ") || "the public roots";
  const [long, short] = [ca((path) => path), ca((path) => path.replace(/^.*\//, ""))];
  const { device } = parsed;
  if (device === undefined) {
    const who = `no certificate, user name and ${
      parsed.password === undefined ? "no " : ""
    }password`;
    return { ...ok(`${who}; CA: ${long}`, `${who}, CA ${short}`), facts };
  }
  const kind = device.key.asymmetricKeyType ?? "unknown kind";
  const { subject, validTo } = device.facts;
  const told = ok(
    `certificate ${quote(device.cert)}: ${describeCertificate(device.facts)}; key ${
      quote(device.keyFile)
    }: ${kind}; CA: ${long}`,
    `certificate ${quote(subject)} to ${dayOf(validTo)}, key (${kind}), CA ${short}`,
  );
  return { ...told, facts };
}

function lookAtDates(known: Known, clock: ClockFacts): Found {
  if (checkClock(clock)) return ok("not judged: the clock is wrong (see clock)");
  const { device, ca } = need(known, "parsed");
  try {
    const [warning] = device ? checkDates(device.cert, device.facts, clock) : [];
    const doubt = warning ??
      authorityWarning(need(known, "files").ca, authoritiesOf(ca), clock);
    if (doubt) return findingOf(doubt, "warn");
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { ...findingOf(error), facts: { isOutOfDate: true } };
  }
  if (device === undefined) return ok("no certificate");
  const { validFrom, validTo } = device.facts;
  return ok(`valid from ${toSeconds(validFrom)} to ${toSeconds(validTo)}`);
}

/** Whose word counts: to root, when the key is another user's, that user's, as it is the one that publishes. */
function judgeOf(files: IdentityFiles): number | null {
  const secret = files.key ?? files.passwordFile;
  const owner = Deno.uid() === 0 && secret !== undefined ? ownerOf(secret) : undefined;
  return owner ?? Deno.uid();
}

/** As the user that publishes. */
export function runAs(name: string): string {
  const user = /^\d/.test(name) ? `'#${name}'` : name;
  return `run it as the user that publishes: \`sudo -u ${user} mqtt443 doctor\``;
}
