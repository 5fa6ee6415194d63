/** The settings about a proxy, and about a user name and password. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { proxyOf } from "../../lib/core/endpoint.ts";
import { UserError } from "../../lib/core/errors.ts";
import { generalGrants, grantFlags, grantsOf } from "../../lib/settings/grants.ts";
import { mergeSettings } from "../../lib/settings/merge.ts";

const AWS = "abc-ats.iot.eu-central-1.amazonaws.com";

function merged(values: Record<string, unknown>) {
  return mergeSettings([{ origin: "flag", name: "", values }], {
    hostName: "gw-7",
    certs: "./certs",
    sourcesProblem: () => undefined,
  }, { needEndpoint: false }).settings;
}

function problemsOf(values: Record<string, unknown>): string {
  const error = assertThrows(() => merged(values), UserError);
  assertEquals([error.exitCode, error.step], [78, "settings"]);
  return error.problems.join("\n");
}

for (
  const [text, expected] of [
    ["http://10.0.0.1:3128", { scheme: "http", endpoint: "10.0.0.1", port: 3128 }],
    ["https://proxy.example:443/", { scheme: "https", endpoint: "proxy.example", port: 443 }],
    ["socks5://[fd00::1]:1080", { scheme: "socks5", endpoint: "fd00::1", port: 1080 }],
  ] as const
) {
  Deno.test(`setting proxy takes ${text}`, () => {
    const { proxy } = merged({ proxy: text });
    assertEquals(proxy, text);
    assertEquals(proxyOf(proxy), expected);
  });
}

Deno.test("setting proxy is none by that word", () => {
  assertEquals(merged({ proxy: "none" }).proxy, undefined);
});

for (
  const [text, rule] of [
    ["http://proxy.example", /its port is not given/],
    [
      "proxy.example:3128",
      /must be http:\/\/HOST:PORT, https:\/\/HOST:PORT or socks5:\/\/HOST:PORT, or none/,
    ],
    ["socks4://proxy:1080", /must be http/],
    ["socks5h://proxy:1080", /must be http/],
    ["http://proxy:0", /PORT from 1 to 65535/],
    ["http://proxy:70000", /PORT from 1 to 65535/],
    ["http://proxy:3128/path", /must be http/],
    ["http://-a:3128", /HOST must be a host name/],
    ["http://[nonsense]:3128", /must be http/],
    ["", /must be http/],
  ] as const
) {
  Deno.test(`setting proxy refuses ${JSON.stringify(text)}`, () => {
    assertMatch(problemsOf({ proxy: text }), rule);
  });
}

Deno.test("setting proxy refuses a user and password, and does not repeat them", () => {
  for (
    const proxy of ["http://gw:s3cret@proxy:3128", "http://gw:s3cret@proxy", "gw:s3cret@proxy:3128"]
  ) {
    const said = problemsOf({ proxy });
    assertMatch(said, /put user:password into a file .*--proxy-auth-file/);
    assert(!/s3cret/.test(said), said);
  }
});

Deno.test("settings that name a file with a secret refuse the secret, and do not repeat it", () => {
  for (const key of ["proxyAuthFile", "passwordFile"]) {
    const said = problemsOf({ [key]: "gw:s3cret", username: "u" });
    assertMatch(said, new RegExp(`^${key}: must be the path of a file that holds`));
    assert(!/s3cret/.test(said), said);
  }
});

Deno.test("settings refuse a password without a user name in MQTT 3.1.1, and a CA for a proxy that shows no certificate", () => {
  const password = { passwordFile: "./pw", mqttVersion: "3.1.1" };
  assertMatch(problemsOf(password), /^passwordFile: MQTT 3\.1\.1 takes no password .*--username/);
  assertEquals(merged({ passwordFile: "./pw" }).passwordFile, "./pw");
  const ca = { proxyCa: "ca.pem" };
  assertMatch(problemsOf({ ...ca, proxy: "http://p:1" }), /^proxyCa: is for a proxy with https:/);
  assertEquals(merged({ ...ca, proxy: "https://p:1" }).proxyCa, "ca.pem");
});

Deno.test("setting username has 1 to 65,535 bytes", () => {
  assertEquals(merged({ username: "gw?x-amz-customauthorizer-name=a" }).username?.length, 32);
  assertMatch(problemsOf({ username: "x".repeat(65_536) }), /must be from 1 to 65535 bytes/);
  assertMatch(problemsOf({ username: "" }), /must be from 1 to 65535 bytes/);
});

Deno.test("setting alpn is mqtt where a user name is given to AWS on port 443", () => {
  const cases: [Record<string, unknown>, string | undefined][] = [
    [{ endpoint: AWS, username: "u" }, "mqtt"],
    [{ endpoint: AWS, username: "u", port: "443" }, "mqtt"],
    [{ endpoint: AWS, username: "u", port: "8883" }, undefined],
    [{ endpoint: AWS, username: "u", alpn: "x-amzn-mqtt-ca" }, "x-amzn-mqtt-ca"],
    [{ endpoint: AWS }, "x-amzn-mqtt-ca"],
    [{ endpoint: "broker.example", username: "u" }, "x-amzn-mqtt-ca"],
  ];
  for (const [values, alpn] of cases) assertEquals(merged(values).alpn, alpn);
});

Deno.test("grants hold the proxy alone, and the files that are named", () => {
  const settings = merged({
    endpoint: AWS,
    proxy: "https://[fd00::1]:3128",
    proxyAuthFile: "/etc/mqtt443/proxy-auth",
    proxyCa: "/etc/mqtt443/proxy-ca.pem",
    username: "u",
    passwordFile: "/etc/mqtt443/password",
  });
  const { net, read } = grantsOf(settings, undefined);
  assertEquals(net, ["[fd00::1]:3128"]);
  for (
    const { path } of ["proxy-auth", "proxy-ca.pem", "password"].map((name) => ({
      path: `/etc/mqtt443/${name}`,
    }))
  ) {
    assert(read.includes(path), path);
  }
});

Deno.test("grants of the executable for any endpoint hold private networks for a proxy only where asked for", () => {
  assert(!generalGrants().net.some((host) => host.includes("/")));
  const { net } = generalGrants([3128, 8080]);
  assertEquals(net.filter((host) => host.includes("/")), [
    "10.0.0.0/8:3128",
    "172.16.0.0/12:3128",
    "192.168.0.0/16:3128",
    "127.0.0.0/8:3128",
    "10.0.0.0/8:8080",
    "172.16.0.0/12:8080",
    "192.168.0.0/16:8080",
    "127.0.0.0/8:8080",
  ]);
});

Deno.test("Deno takes a network with a port as a grant, for addresses alone", async () => {
  const flags = grantFlags({ net: ["10.0.0.0/8:3128"], read: [], write: [], env: [], sys: [] });
  const ask =
    `for (const host of ["10.1.2.3:3128", "10.1.2.3:3129", "11.1.2.3:3128", "proxy:3128"]) {
    console.log(Deno.permissions.querySync({ name: "net", host }).state);
  }`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-config",
      ...flags,
      `data:application/javascript,${encodeURIComponent(ask)}`,
    ],
  }).output();
  const states = new TextDecoder().decode(stdout).trim().split("\n");
  assertEquals(states, ["granted", "prompt", "prompt", "prompt"]);
});
