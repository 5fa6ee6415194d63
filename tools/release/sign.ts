/**
 * Detached signatures of SSH keys (`ssh-keygen -Y`, OpenSSH 8.0 and later): on nearly every machine already, offline, and
 * with keys that may be in an agent or on a hardware token. The key is the releaser's; nothing here makes or keeps one.
 */

import { EXIT, UserError } from "../../lib/core/errors.ts";
import { quote } from "../../lib/core/text.ts";

/** As whom it is signed, and for what: a signature for another purpose is none for a release. */
export const SIGNER = "mqtt443-release";
const NAMESPACE = "file";

/**
 * Signs a file: beside it comes `FILE.sig`.
 *
 * @param key A private key's file, or the public one's of a key that ssh-agent holds.
 * @returns The line for `allowed_signers` by which the signature is verified.
 * @throws {UserError} If the key cannot be used.
 */
export async function sign(file: string, key: string): Promise<string> {
  await run(["-q", "-Y", "sign", "-f", key, "-n", NAMESPACE, file], key);
  // Of a public key's file it prints what is in it; of a private one's, its public part.
  const text = key.endsWith(".pub")
    ? await Deno.readTextFile(key)
    : await run(["-y", "-f", key], key);
  const [kind, body] = text.trim().split(/\s+/);
  return `${SIGNER} namespaces="${NAMESPACE}" ${kind} ${body}\n`;
}

/** The command that verifies it, where `allowed_signers` and the files are. */
export function verifyCommand(file: string): string {
  return `ssh-keygen -Y verify -f allowed_signers -I ${SIGNER} -n ${NAMESPACE} -s ${file}.sig <${file}`;
}

async function run(args: readonly string[], key: string): Promise<string> {
  const text = new TextDecoder();
  const { success, stdout, stderr } = await new Deno.Command("ssh-keygen", {
    args: [...args],
    stdin: "null",
    // A passphrase is asked for on the terminal, or by the agent.
    env: { LC_ALL: "C" },
  }).output().catch((cause) => {
    throw new UserError("Cannot sign: there is no ssh-keygen here", {
      code: "tool-failed",
      hint: "install OpenSSH's client: `apt-get install openssh-client`",
      exitCode: EXIT.unavailable,
      cause,
    });
  });
  if (success) return text.decode(stdout);
  const said = text.decode(stderr).trim().split("\n").at(-1);
  throw new UserError(`Cannot sign with key ${quote(key)}: ${said}`, {
    code: "tool-failed",
    hint: "pass the file of a private key, or of the public key of one in ssh-agent; " +
      "`ssh-keygen -t ed25519 -f release_key` makes one",
    exitCode: EXIT.config,
  });
}
