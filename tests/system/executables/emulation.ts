/** Whether this machine can start programs for arm64: it is one, or the kernel hands them to an emulator. */

/** The folder where Debian's packages put the libraries of arm64. */
const LIBRARIES = "/usr/aarch64-linux-gnu";

/** Whether the kernel starts programs for arm64, with their libraries at hand. */
export function hasArm64(): boolean {
  if (Deno.build.arch === "aarch64") return true;
  try {
    const handler = Deno.readTextFileSync("/proc/sys/fs/binfmt_misc/qemu-aarch64");
    return handler.startsWith("enabled") && Deno.statSync(LIBRARIES).isDirectory &&
      Deno.env.get("QEMU_LD_PREFIX") === LIBRARIES;
  } catch {
    return false;
  }
}
