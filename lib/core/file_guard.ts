/**
 * Whose word counts: a file that decides whom to trust or who this device is must belong to this user or root, nobody
 * else may write to it or to the folder it lies in, and nobody else may read a secret.
 *
 * A folder with the sticky bit (as /tmp) counts as one that others may write to: they can put files there. A link must
 * belong to this user or root, and so must the file that it leads to. Deno grants no look at a folder without granting
 * all that lies in it, so a folder outside the grants is not judged here: who starts the process does that, and what
 * others put there is theirs or a link of theirs, which is refused. Pure, but for {@linkcode guardFile} and
 * {@linkcode userName}.
 */

import { shellWord } from "./text.ts";

/** What of a file's status decides. */
export interface FileStatus {
  readonly mode: number | null;
  readonly uid: number | null;
}

/** What is wrong, as the end of a sentence, and the command that mends it. */
export interface GuardProblem {
  readonly problem: string;
  readonly hint: string;
}

/** Where the names of users are found. */
export const USERS_PATH = "/etc/passwd";
/** The user of our service unit: what belongs to it must go on belonging to it. */
const SERVICE_USER = "mqtt443";
/**
 * Where systemd puts what `LoadCredential=` names. From version 254 on they belong to root, and an access control list
 * lets the service's user read them; its mask shows as the bits of the group, which may do nothing.
 */
const CREDENTIAL = /^\/run\/credentials\/[^/]+\/[^/]+$/;

/**
 * What is wrong with whom a file, its link or its folder belongs to, or undefined. Pure.
 *
 * @param uid The user whose word counts besides root's.
 */
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

/** What is wrong with who may change a file, or read it if it is a secret, or undefined. Pure. */
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
  // root's file must be this user's before others may not read it, or this user may not either.
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

/** What is wrong with a folder in which a file lies, or undefined. Pure. */
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
    // A folder that is meant for all, as /tmp, stays as it is.
    hint: isShared
      ? "move it to a folder where nobody else may write, as one that `mkdir -m 700 ~/mqtt443` makes"
      : `chmod go-w ${shellWord(folder)}`,
  };
}

/**
 * Looks at a file, at the link by which it is named, and at its folder.
 *
 * @param uid The user whose word counts besides root's.
 * @throws What Deno throws if the file cannot be looked at.
 */
export function guardFile(
  path: string,
  { isSecret, uid = Deno.uid() }: { isSecret: boolean; uid?: number | null },
): GuardProblem | undefined {
  const status = Deno.statSync(path);
  return ownerProblem(path, Deno.lstatSync(path), uid) ?? ownerProblem(path, status, uid) ??
    modeProblem(path, status, uid, { isSecret }) ?? guardFolder(folderOf(path), uid);
}

/** Looks at a folder, and at the link by which it is named; one that may not be looked at is not judged. */
export function guardFolder(folder: string, uid = Deno.uid()): GuardProblem | undefined {
  try {
    // A link's own mode says nothing.
    const link = { mode: null, uid: Deno.lstatSync(folder).uid };
    return folderProblem(folder, link, uid) ?? folderProblem(folder, Deno.statSync(folder), uid);
  } catch {
    return undefined;
  }
}

/** The folder that a file lies in. */
export function folderOf(path: string): string {
  return path.includes("/") ? path.replace(/\/+[^/]*$/, "") || "/" : ".";
}

/** The name of a user, or its number where that cannot be known. */
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
