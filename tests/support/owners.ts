/** Files of other users, for tests that run as root. */

/** Gives a link itself to another user: Deno follows it. */
export function lchown(path: string, uid: number): void {
  const { success } = new Deno.Command("chown", { args: ["-h", String(uid), path] }).outputSync();
  if (!success) throw new Error(`Cannot give ${path} to user ${uid}`);
}
