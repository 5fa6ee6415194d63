/** What a process listens at, as the kernel knows it. */

/** The local addresses of a process's listening TCP sockets, in the kernel's hexadecimal; none once it is gone. */
export function listening(pid: number): string[] {
  const inodes = new Set<string>();
  try {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${name}`))?.[1];
      if (inode !== undefined) inodes.add(inode);
    }
    return ["tcp", "tcp6"].flatMap((name) =>
      Deno.readTextFileSync(`/proc/${pid}/net/${name}`).trim().split("\n").slice(1)
        .map((line) => line.trim().split(/\s+/))
        .filter(([, , , state, , , , , , inode]) => state === LISTEN && inodes.has(inode!))
        .map(([, address]) => address!)
    );
  } catch {
    return [];
  }
}

const LISTEN = "0A";

function linkOf(path: string): string {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return "";
  }
}

/**
 * Sends SIGUSR1 to a process again and again until it ends.
 *
 * @returns How it ended, and all that it listened at meanwhile.
 */
export async function signalled(
  { pid, status }: { readonly pid: number; readonly status: Promise<Deno.CommandStatus> },
): Promise<{ status: Deno.CommandStatus; seen: string[] }> {
  const seen = new Set<string>();
  let ended: Deno.CommandStatus | undefined;
  status.then((status) => ended = status);
  const deadline = performance.now() + 5_000;
  while (ended === undefined && seen.size === 0 && performance.now() < deadline) {
    try {
      Deno.kill(pid, "SIGUSR1");
    } catch { /* it is gone */ }
    for (const address of listening(pid)) seen.add(address);
    await new Promise((resolve) => setTimeout(resolve));
  }
  if (ended === undefined) Deno.kill(pid, "SIGKILL");
  return { status: await status, seen: [...seen] };
}
