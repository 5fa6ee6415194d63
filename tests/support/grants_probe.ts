/** Tries what a publisher must not be able to do, and prints the outcome of each as JSON; run by grants_test.ts. */

const outcome = async (action: () => unknown): Promise<string> => {
  try {
    await action();
    return "done";
  } catch (error) {
    return (error as Error).name;
  }
};
const [certs, state, outside] = Deno.args as [string, string, string];

console.log(JSON.stringify({
  readCerts: await outcome(() => [...Deno.readDirSync(certs)]),
  writeState: await outcome(() => Deno.writeTextFileSync(`${state}/probe`, "x")),
  otherHost: await outcome(() => Deno.connect({ hostname: "127.0.0.2", port: 443 })),
  otherPort: await outcome(() => Deno.connect({ hostname: "localhost", port: 1 })),
  listen: await outcome(() => Deno.listen({ hostname: "127.0.0.1", port: 0 })),
  readOther: await outcome(() => Deno.readTextFileSync("/etc/shadow")),
  writeOther: await outcome(() => Deno.writeTextFileSync(outside, "x")),
  writeCerts: await outcome(() => Deno.writeTextFileSync(`${certs}/probe`, "x")),
  run: await outcome(() => new Deno.Command("true").outputSync()),
  ffi: await outcome(() => Deno.dlopen("libc.so.6", {})),
  environment: Deno.env.get("HOME") ?? "empty",
}));
