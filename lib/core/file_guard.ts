/**
 * Checks owners and modes of files that decide whom to trust or who this device is: they, and links to them, must
 * belong to this user or root, nobody else may write to them or to their folder, and nobody else may read a secret.
 *
 * A folder with the sticky bit (as /tmp) counts as writable by others: they can put files there. Deno lets a process
 * stat a folder only if it may read all files in it, so a folder outside the grants is not checked here: the starter of
 * the process does that, and a file or link that others put there is theirs and refused. Pure, but for
 * {@linkcode guardFile}, {@linkcode guardFolder} and {@linkcode userName}.
 */

import { shellWord } from "./text.ts";

/** The parts of a file's status that decide. */
export interface FileStatus {
  readonly mode: number | null;
  readonly uid: number | null;
}

/** What is wrong, as the end of a sentence, and the command that corrects it. */
export interface GuardProblem {
  readonly problem: string;
  readonly hint: string;
}

/** The names of users. */
export const USERS_PATH = "/etc/passwd";
/** The user of our service unit: its files must stay its own. */
const SERVICE_USER = "mqtt443";
/**
 * Files of systemd's `LoadCredential=`. From version 254 on they belong to root and an access control list lets the
 * service's user read them: its mask shows as the group's bits, which grant the group nothing.
 */
const CREDENTIAL = /^\/run\/credentials\/[^/]+\/[^/]+$/;

/** What is wrong with the owner of a file, link or folder, if neither `uid` nor root; or undefined. */
export function ownerProblem(
  path: string,
  { uid: owner }: FileStatus,
  uid: number | null,
  name: (uid: number) => string = userName,
): GuardProblem | undefined {
  if (owner === null || uid === null || owner === uid || owner === 0) return undefined;
  const [whose, mine] = [name(owner), name(uid)];
  const asOwner = `\`sudo -u ${/^\d/.test(whose) ? `'#${whose}'` : whose} mqtt443 doctor\``;
  const chown = `chown -h ${mine} ${shellWord(path)}`;
  return {
    problem: `it belongs to user ${whose}, and this is user ${mine}`,
    hint: uid !== 0
      ? `find out who put it there (\`ls -ld ${
        shellWord(path)
      }\`); if it is right, \`sudo ${chown}\``
      : whose === SERVICE_USER
      ? `run it as the user that publishes: ${asOwner}`
      : `if that user publishes, run it as that user: ${asOwner}; if root does, find out who put it there, ` +
        `and if it is right, \`${chown}\``,
  };
}

/** What is wrong with a file's mode: who may change it, or read it if it is a secret; or undefined. */
export function modeProblem(
  path: string,
  { mode, uid: owner }: FileStatus,
  uid: number | null,
  { isSecret, name = userName }: { isSecret: boolean; name?: (uid: number) => string },
): GuardProblem | undefined {
  const bits = (mode ?? 0) & 0o7777;
  const others = !isSecret ? 0o022 : CREDENTIAL.test(path) && owner === 0 ? 0o037 : 0o077;
  if ((bits & others) === 0) return undefined;
  const word = shellWord(path);
  // With mode 600, a file of root's must be given to this user first, or this user could not read it.
  const isRoots = owner === 0 && uid !== 0 && uid !== null;
  const chmod = `chmod ${isSecret ? "600" : "go-w"} ${word}`;
  return {
    problem: `others than its owner may ${isSecret ? "read or change" : "change"} it (mode ${
      octal(bits)
    })`,
    hint: !isRoots
      ? chmod
      : isSecret
      ? `sudo chown ${name(uid)} ${word} && sudo ${chmod}`
      : `sudo ${chmod}`,
  };
}

/** What is wrong with the folder of a file, or undefined. */
export function folderProblem(
  folder: string,
  status: FileStatus,
  uid: number | null,
  name?: (uid: number) => string,
): GuardProblem | undefined {
  const owner = ownerProblem(folder, status, uid, name);
  if (owner) return { ...owner, problem: `its folder is not safe: ${owner.problem}` };
  const bits = (status.mode ?? 0) & 0o7777;
  if ((bits & 0o022) === 0) return undefined;
  const isShared = (bits & 0o1000) !== 0 || (status.uid !== uid && uid !== null);
  return {
    problem: `others may replace it or put files beside it, as they may write to ${
      JSON.stringify(folder)
    } (mode ${octal(bits)})`,
    // A shared folder, as /tmp, must stay as it is.
    hint: isShared
      ? "move it to a folder where nobody else may write, as one that `mkdir -m 700 ~/mqtt443` makes"
      : `chmod go-w ${shellWord(folder)}`,
  };
}

/** Checks a file, the link that names it, and its folder. @throws What Deno throws if it cannot stat the file. */
export function guardFile(
  path: string,
  { isSecret, uid = Deno.uid() }: { isSecret: boolean; uid?: number | null },
): GuardProblem | undefined {
  const status = Deno.statSync(path);
  return ownerProblem(path, Deno.lstatSync(path), uid) ?? ownerProblem(path, status, uid) ??
    modeProblem(path, status, uid, { isSecret }) ?? guardFolder(folderOf(path), uid);
}

/** Checks a folder and the link that names it; undefined also where this process may not stat it. */
export function guardFolder(folder: string, uid = Deno.uid()): GuardProblem | undefined {
  try {
    // A link's own mode says nothing.
    const link = { mode: null, uid: Deno.lstatSync(folder).uid };
    return folderProblem(folder, link, uid) ?? folderProblem(folder, Deno.statSync(folder), uid);
  } catch {
    return undefined;
  }
}

/** The folder of a file. */
export function folderOf(path: string): string {
  return path.includes("/") ? path.replace(/\/+[^/]*$/, "") || "/" : ".";
}

/** The name of a user, or its number where there is no name. */
export function userName(uid: number): string {
  if (uid === 0) return "root";
  try {
    const line = Deno.readTextFileSync(USERS_PATH).split("\n")
      .find((line) => line.split(":")[2] === String(uid));
    const name = line?.split(":")[0] ?? "";
    return /^[a-z_][\w.-]*\$?$/i.test(name) ? name : String(uid);
  } catch {
    return String(uid);
  }
}

function octal(bits: number): string {
  return bits.toString(8).padStart(4, "0");
}
