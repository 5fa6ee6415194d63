/** Through a proxy of each kind: what it is asked, what it may answer, and what is told then. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { openConnection } from "../../lib/connection/mod.ts";
import { EXIT } from "../../lib/core/errors.ts";
import type { Endpoint } from "../../tools/endpoint/mod.ts";
import { makeAuthority, makePki } from "../../tools/endpoint/mod.ts";
import { failureOf, identityOf, settingsFor, start } from "../support/connecting.ts";
import { type ProxyScript, type ScriptedProxy, startProxy } from "../support/scripted_proxy.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const pki = await makePki();
const proxyServer = await pki.authority.issue("proxy", { names: ["localhost"] });
const DAY_MS = 86_400_000;
const soon = (days: number) => new Date(Date.now() + days * DAY_MS);
const SCHEMES = ["http", "https", "socks5"] as const;

/** One attempt through a proxy. */
function connectThrough(
  { url }: Pick<ScriptedProxy, "url">,
  port: number,
  { auth, trusts = pki.ca, ...more }: {
    auth?: string;
    trusts?: string;
    endpoint?: string;
    connectTimeout?: number;
  } = {},
) {
  const settings = settingsFor(port, {
    proxy: url,
    ...(auth !== undefined && { proxyAuthFile: "/etc/mqtt443/proxy-auth" }),
    ...(url.startsWith("https:") && { proxyCa: "proxy-ca.pem" }),
    ...more,
  });
  const identity = { ...identityOf(pki), proxyAuth: auth, proxyCaPems: [trusts] };
  return openConnection(settings, identity);
}

function startScheme(scheme: typeof SCHEMES[number], script: ProxyScript = {}) {
  return startProxy({ scheme, server: proxyServer, ...script });
}

/** What is told when the proxy answers so, and that nothing stays open. */
async function toldOf(answer: string | Uint8Array, script: ProxyScript & { auth?: string } = {}) {
  await using proxy = await startScheme(script.scheme ?? "http", { ...script, answer });
  const { auth } = script;
  const failure = await failureOf(
    connectThrough(proxy, 8443, { ...(auth !== undefined && { auth }), connectTimeout: 2000 }),
  );
  await proxy.until(() => proxy.open() === 0);
  assertEquals(proxy.asked.length, 1, "one attempt, one question");
  return { ...failure, message: failure.message, said: `${failure.message} | ${failure.hint}` };
}

for (const scheme of SCHEMES) {
  for (const auth of [undefined, "gw:pass:w\u00f6rd"]) {
    const how = auth === undefined ? "" : " with user and password";
    Deno.test(`connection goes through a proxy of kind ${scheme}${how}, in pieces of a byte`, async () => {
      await using endpoint = await start({ certificates: pki });
      const script = { ...(auth !== undefined && { auth }), isTrickling: true };
      await using proxy = await startScheme(scheme, script);
      const more = auth === undefined ? {} : { auth };
      const connection = await connectThrough(proxy, endpoint.port, more);
      const { facts } = connection;
      assertEquals([facts.tls, facts.alpn], ["TLSv1.3", "x-amzn-mqtt-ca"]);
      assertMatch(facts.peer, new RegExp(`:${proxy.port}$`));
      const acked = Promise.withResolvers<void>();
      connection.publish(
        { topic: "t", payload: "x".repeat(100_000), qos: 1 },
        () => acked.resolve(),
      );
      await acked.promise;
      await connection.end();
      assertEquals(proxy.asked, [`localhost:${endpoint.port}`]);
      assertEquals(proxy.credentials, [auth ?? ""], "from the first attempt on");
      // DISCONNECT went through, and nothing stays open.
      await endpoint.until(() => endpoint.open === 0);
      await proxy.until(() => proxy.open() === 0);
      assertMatch(endpoint.closes[0]!.reason, /DISCONNECT 0$/);
    });
  }

  Deno.test(`connection hands the endpoint's name to a proxy of kind ${scheme}, and looks it up nowhere`, async () => {
    const server = await pki.authority.issue("x", { names: ["gw.invalid"] });
    await using endpoint = await start({ certificates: pki, server });
    const to = { host: "127.0.0.1", port: endpoint.port };
    await using proxy = await startScheme(scheme, { to });
    const connection = await connectThrough(proxy, 443, { endpoint: "gw.invalid" });
    await connection.end();
    assertEquals(proxy.asked, ["gw.invalid:443"]);
    assertEquals(endpoint.connects[0]?.serverName, "gw.invalid");
    await proxy.until(() => proxy.open() === 0);
  });
}

Deno.test("connection hands addresses to a SOCKS5 proxy as such", async () => {
  const cases = [
    ["192.0.2.7", "192.0.2.7:443"],
    ["fd00::1:2", "[fd00:0000:0000:0000:0000:0000:0001:0002]:443"],
  ] as const;
  for (const [endpoint, asked] of cases) {
    await using proxy = await startScheme("socks5", { answer: "hang-up" });
    const { message } = await failureOf(connectThrough(proxy, 443, { endpoint }));
    assertMatch(message, /hung up before it opened a tunnel/);
    assertEquals(proxy.asked, [asked]);
  }
});

Deno.test("connection says CONNECT, Host, User-Agent and the credentials, and no more", async () => {
  await using proxy = await startScheme("http", { answer: "hang-up" });
  await failureOf(connectThrough(proxy, 8883, { auth: "u:p", endpoint: "::1" }));
  assertEquals(proxy.heads, [
    "CONNECT [::1]:8883 HTTP/1.1\r\nHost: [::1]:8883\r\nUser-Agent: mqtt443/0.1.0\r\n" +
    "Proxy-Authorization: Basic dTpw\r\n\r\n",
  ]);
});

for (
  const opened of [
    "HTTP/1.0 200 OK\n\n",
    "HTTP/1.1 204\r\nX: y\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
  ]
) {
  Deno.test(`connection takes ${JSON.stringify(opened)} for an open tunnel`, async () => {
    await using endpoint = await start({ certificates: pki });
    await using proxy = await startScheme("http", { opened });
    await (await connectThrough(proxy, endpoint.port)).end();
    await proxy.until(() => proxy.open() === 0);
  });
}

const NTLM =
  "HTTP/1.1 407 Authenticate\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n";
const BASIC =
  'HTTP/1.1 407 Auth\r\nProxy-Authenticate: Digest realm="x", qop="auth"\r\nProxy-Authenticate: basic realm="plant 7"\r\n\r\n';
const TINY = 'HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm="tiny"\r\n\r\n';

/** Answer; whether credentials are given; code, exit code, words. */
const ANSWERS: readonly [string, string | Uint8Array, boolean, string, number, RegExp][] = [
  [
    "407",
    BASIC,
    false,
    "proxy-auth-required",
    EXIT.refused,
    /^The proxy 127\.0\.0\.1:\d+ wants a user and password \(realm "plant 7"\) \| put user:password into a file.*--proxy-auth-file FILE$/,
  ],
  [
    "407 to our credentials",
    BASIC,
    true,
    "proxy-auth-refused",
    EXIT.refused,
    /refuses the user and password in "\/etc\/mqtt443\/proxy-auth" \|/,
  ],
  ["401 of tinyproxy", TINY, false, "proxy-auth-required", EXIT.refused, /realm "tiny"/],
  ["401 to our credentials", TINY, true, "proxy-auth-refused", EXIT.refused, /refuses the user/],
  [
    "407 for NTLM alone",
    NTLM,
    true,
    "proxy-auth-unsupported",
    EXIT.refused,
    /takes Negotiate, NTLM; .*Basic.* \| ask .*exception for localhost:8443, or run a relay .*--proxy http:\/\/127\.0\.0\.1:PORT/,
  ],
  [
    "403",
    "HTTP/1.1 403 Forbidden\r\n\r\n",
    false,
    "proxy-forbidden",
    EXIT.unavailable,
    /does not allow a tunnel to localhost:8443 \(403 Forbidden\) \| .*CONNECT to localhost:8443; most proxies allow port 443 alone/,
  ],
  [
    "502",
    "HTTP/1.1 502 Bad Gateway\r\n\r\n",
    false,
    "proxy-unreachable",
    EXIT.unavailable,
    /cannot reach localhost:8443 \(502 Bad Gateway\) \| .*DNS or firewall.*--endpoint/,
  ],
  ["503", "HTTP/1.1 503\r\n\r\n", false, "proxy-unreachable", EXIT.unavailable, /\(503\)/],
  [
    "504",
    "HTTP/1.1 504 Gateway Timeout\r\n\r\n",
    false,
    "proxy-unreachable",
    EXIT.unavailable,
    /504/,
  ],
  [
    "302",
    "HTTP/1.1 302 Found\r\nLocation: http://login.example/?a\r\n\r\n",
    false,
    "proxy-portal",
    EXIT.unavailable,
    /log-in page answers in place of the proxy .* \(302 Found, at "http:\/\/login\.example\/\?a"\)/,
  ],
  [
    "200 with a page",
    "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<html>hello!",
    false,
    "proxy-portal",
    EXIT.unavailable,
    /log-in page/,
  ],
  [
    "200 in chunks",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    false,
    "proxy-portal",
    EXIT.unavailable,
    /log-in page/,
  ],
  [
    "405",
    "HTTP/1.1 405 Method Not Allowed\r\n\r\n",
    false,
    "proxy-not-a-proxy",
    EXIT.unavailable,
    /opens no tunnel to localhost:8443 \(405 Method Not Allowed\) \| a web server/,
  ],
  [
    "SSH",
    "SSH-2.0-OpenSSH_9.2\r\n",
    false,
    "proxy-not-a-proxy",
    EXIT.unavailable,
    /^What answers at 127\.0\.0\.1:\d+ is no HTTP proxy: it says "SSH-2\.0-OpenSSH_9\.2" \| check scheme/,
  ],
  [
    "a TLS alert",
    Uint8Array.of(0x15, 3, 1, 0, 2, 2, 10),
    false,
    "proxy-not-a-proxy",
    EXIT.unavailable,
    /no HTTP proxy/,
  ],
  ["HTTP/2", "HTTP/2 200\r\n\r\n", false, "proxy-not-a-proxy", EXIT.unavailable, /no HTTP proxy/],
  [
    "a broken status",
    "HTTP/1.1 abc\r\n\r\n",
    false,
    "proxy-not-a-proxy",
    EXIT.unavailable,
    /no HTTP/,
  ],
  [
    "a head without end",
    `HTTP/1.1 200 OK\r\n${"X: y\r\n".repeat(3000)}`,
    false,
    "proxy-not-a-proxy",
    EXIT.unavailable,
    /no HTTP/,
  ],
  [
    "nothing, and hangs up",
    "hang-up",
    false,
    "proxy-hung-up",
    EXIT.unavailable,
    /hung up before it opened a tunnel to localhost:8443/,
  ],
  ["half a head", "HTTP/1.1 200 OK\r\nX:", false, "proxy-hung-up", EXIT.unavailable, /hung up/],
];

for (const [name, answer, withAuth, code, exitCode, words] of ANSWERS) {
  Deno.test(`connection tells what a proxy means by ${name}`, async () => {
    const told = await toldOf(answer, withAuth ? { auth: "gw:secret" } : {});
    assertEquals([told.code, told.exitCode, told.step], [code, exitCode, "proxy"]);
    assertMatch(told.said, words);
    assert(!/secret/.test(told.said));
  });
}

Deno.test("connection advises no port where 443 is forbidden", async () => {
  await using proxy = await startScheme("http", { answer: "HTTP/1.1 403 No\r\n\r\n" });
  const { hint } = await failureOf(connectThrough(proxy, 443, { endpoint: "gw.invalid" }));
  assertEquals(hint, "ask who runs it to allow CONNECT to gw.invalid:443");
});

/** Reply; code, words. */
const REPLIES: readonly [number, string, RegExp][] = [
  [1, "proxy-unreachable", /general failure/],
  [
    2,
    "proxy-forbidden",
    /does not allow a tunnel to localhost:8443 \(SOCKS reply 2: not allowed by its rules\)/,
  ],
  [3, "proxy-unreachable", /network unreachable/],
  [4, "proxy-unreachable", /cannot reach localhost:8443 \(SOCKS reply 4: host unreachable\)/],
  [5, "proxy-unreachable", /connection refused/],
];

for (const [reply, code, words] of REPLIES) {
  Deno.test(`connection tells what a SOCKS5 proxy means by reply ${reply}`, async () => {
    const answer = Uint8Array.of(5, reply, 0, 1, 0, 0, 0, 0, 0, 0);
    const told = await toldOf(answer, { scheme: "socks5" });
    assertEquals([told.code, told.exitCode, told.step], [code, EXIT.unavailable, "proxy"]);
    assertMatch(told.message, words);
  });
}

Deno.test("connection tells that a SOCKS5 proxy wants, or refuses, user and password", async () => {
  await using proxy = await startScheme("socks5", { auth: "gw:right" });
  const none = await failureOf(connectThrough(proxy, 8443));
  assertEquals([none.code, none.exitCode], ["proxy-auth-required", EXIT.refused]);
  const wrong = await failureOf(connectThrough(proxy, 8443, { auth: "gw:wrong" }));
  assertEquals([wrong.code, wrong.exitCode], ["proxy-auth-refused", EXIT.refused]);
  const long = await failureOf(connectThrough(proxy, 8443, { auth: `gw:${"x".repeat(256)}` }));
  assertEquals([long.code, long.exitCode], ["proxy-auth-too-long", EXIT.config]);
  await proxy.until(() => proxy.open() === 0);
});

Deno.test("connection tells that a web server is no SOCKS5 proxy", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    using conn = await listener.accept();
    await conn.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
    await conn.read(new Uint8Array(512));
  })();
  const url = `socks5://127.0.0.1:${listener.addr.port}`;
  const { message, code } = await failureOf(connectThrough({ url }, 8443));
  assertMatch(message, /is no SOCKS5 proxy: it says "HTTP\/1\.1 400 Bad Request"$/);
  assertEquals(code, "proxy-not-a-proxy");
  await serving;
  listener.close();
});

for (const scheme of SCHEMES) {
  Deno.test(`connection gives up on a silent proxy of kind ${scheme} at its deadline, and leaves nothing open`, async () => {
    await using proxy = await startScheme(scheme, { answer: "silence" });
    const failure = await failureOf(connectThrough(proxy, 8443, { connectTimeout: 1000 }));
    assertMatch(
      failure.message,
      /^No tunnel to localhost:8443: the proxy .* did not answer CONNECT within 1 s$/,
    );
    assertEquals([failure.step, failure.exitCode], ["proxy", EXIT.unavailable]);
    await proxy.until(() => proxy.open() === 0);
  });
}

Deno.test("connection says that there is no proxy where it is looked for", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const refused = await failureOf(connectThrough({ url: `http://127.0.0.1:${port}` }, 8443));
  assertEquals(
    refused.message,
    `Cannot connect to the proxy 127.0.0.1:${port}: connection refused`,
  );
  assertMatch(refused.hint, /check --proxy$/);
  assertEquals([refused.step, refused.exitCode], ["tcp", EXIT.unavailable]);
  const unknown = await failureOf(
    connectThrough({ url: "http://no-such-proxy.invalid:3128" }, 8443),
  );
  assertMatch(unknown.message, /^Cannot find the address of the proxy no-such-proxy\.invalid: /);
  assertMatch(unknown.hint, /^check --proxy, and the name server/);
  assertEquals(unknown.step, "dns");
});

/** That the endpoint saw neither a completed handshake nor a byte of MQTT. */
function assertLearntNothing(endpoint: Endpoint): void {
  assertEquals([endpoint.counts.handshakes, endpoint.connects.length], [0, 0]);
}

for (const scheme of SCHEMES) {
  Deno.test(`connection shows a wrong endpoint nothing in the tunnel of kind ${scheme}, and names its fault (T1, T2, T3, T4)`, async () => {
    const other = await makeAuthority({ commonName: "another CA" });
    const names = ["localhost"];
    const [old, young] = [{ validFrom: soon(-9), validTo: soon(-1) }, {
      validFrom: soon(7),
      validTo: soon(9),
    }];
    // Within the TLS of a proxy there is nobody to ask for dates.
    const isHttps = scheme === "https";
    const faults: [Parameters<typeof start>[0]["server"], RegExp][] = [
      [
        await other.issue("localhost", { names }),
        /is not signed by the configured CA|chain does not hold/,
      ],
      [
        await pki.authority.issue("x", { names: ["elsewhere.example"] }),
        /certificate is for "elsewhere\.example", not for "localhost"/,
      ],
      [
        await pki.authority.issue("localhost", { names, ...old }),
        isHttps ? /chain does not hold/ : /expired at /,
      ],
      [
        await pki.authority.issue("localhost", { names, ...young }),
        isHttps ? /chain does not hold/ : /the clock is probably wrong$/,
      ],
    ];
    for (const [server, words] of faults) {
      await using endpoint = await start({ certificates: pki, ...(server && { server }) });
      await using proxy = await startScheme(scheme);
      const { message, step } = await failureOf(connectThrough(proxy, endpoint.port));
      assertMatch(message, words);
      assertEquals(step, "tls");
      await proxy.until(() => proxy.open() === 0);
      assertLearntNothing(endpoint);
      assert(proxy.asked.length <= 2, "at most one more tunnel to ask for the cause");
    }
  });

  Deno.test(`connection speaks TLS 1.3 alone in a tunnel of kind ${scheme}`, async () => {
    const only12 = { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" } as const;
    await using endpoint = await start({ certificates: pki, ...only12 });
    await using proxy = await startScheme(scheme);
    const failure = await failureOf(connectThrough(proxy, endpoint.port));
    assertMatch(failure.message, /does not speak TLS 1\.3$/);
    assertMatch(failure.hint, /^in a proxy's tunnel TLS 1\.3 alone is spoken/);
    assertEquals([failure.step, failure.exitCode], ["tls", EXIT.unavailable]);
    await proxy.until(() => proxy.open() === 0);
    assertLearntNothing(endpoint);
  });

  Deno.test(`connection sends no CONNECT of MQTT to an endpoint without our protocol, in a tunnel of kind ${scheme} (T5)`, async () => {
    await using endpoint = await start({ certificates: pki, alpn: "ignore" });
    await using proxy = await startScheme(scheme);
    const { step } = await failureOf(connectThrough(proxy, endpoint.port));
    assertEquals([step, endpoint.connects.length], ["alpn", 0]);
    await proxy.until(() => proxy.open() === 0);
  });
}

Deno.test("connection tells that what a tunnel leads to speaks before TLS begins", async () => {
  await using endpoint = await start({ certificates: pki });
  await using proxy = await startScheme("http", { early: "220 mail.example\r\n" });
  const { message, step } = await failureOf(connectThrough(proxy, endpoint.port));
  // It comes in one piece with the head, or behind it.
  assertMatch(message, /what answers there does not speak TLS$/);
  assertEquals(step, "tls");
  await proxy.until(() => proxy.open() === 0);
});

Deno.test("connection trusts a proxy with https:// by its own CA, its name and its dates alone", async () => {
  const other = await makeAuthority({ commonName: "another CA" });
  const names = ["localhost"];
  const faults: [{ cert: string; key: string }, RegExp, RegExp][] = [
    [
      await other.issue("localhost", { names }),
      /^Cannot trust the proxy localhost:\d+: its certificate is not signed by the configured CA \("proxy-ca\.pem"\)/,
      /--proxy-ca PATH$/,
    ],
    [
      await pki.authority.issue("x", { names: ["elsewhere.example"] }),
      /^Cannot trust the proxy .* is for "elsewhere\.example", not for "localhost"$/,
      /check --proxy/,
    ],
    [
      await pki.authority.issue("localhost", { names, validFrom: soon(-9), validTo: soon(-1) }),
      /^Cannot trust the proxy .*expired at /,
      /clock/,
    ],
    [
      await pki.authority.issue("localhost", { names, validFrom: soon(7), validTo: soon(9) }),
      /^Cannot trust the proxy .*clock is probably wrong$/,
      /timedatectl/,
    ],
  ];
  for (const [server, words, hint] of faults) {
    await using proxy = await startProxy({ scheme: "https", server });
    const failure = await failureOf(connectThrough(proxy, 8443, { auth: "gw:secret" }));
    assertMatch(failure.message, words);
    assertMatch(failure.hint, hint);
    assertEquals([failure.step, failure.exitCode], ["proxy", EXIT.unavailable]);
    await proxy.until(() => proxy.open() === 0);
    assertEquals(proxy.asked, [], "it was told nothing");
  }
});

Deno.test("connection says that a proxy with https:// does not speak TLS", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    using conn = await listener.accept();
    await conn.read(new Uint8Array(512));
    await conn.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
    await conn.read(new Uint8Array(512)).catch(() => {});
  })();
  const at = `https://127.0.0.1:${listener.addr.port}`;
  const failure = await failureOf(connectThrough({ url: at }, 8443));
  assertMatch(failure.message, /^Cannot secure the connection to the proxy .*does not speak TLS$/);
  assertMatch(failure.hint, /^check scheme .* of --proxy$/);
  assertEquals(failure.step, "proxy");
  await serving;
  listener.close();
});

Deno.test("connection keeps no socket of 100 attempts that a proxy ends in each way", async () => {
  const answers = ["hang-up", "HTTP/1.1 403 No\r\n\r\n", BASIC, "SSH-2.0-x\r\n"];
  for (let n = 0; n < 100; n++) {
    await using proxy = await startScheme("http", { answer: answers[n % answers.length]! });
    await failureOf(connectThrough(proxy, 8443));
    await proxy.until(() => proxy.open() === 0);
    assertEquals(keptSockets(proxy.port), [], answers[n % answers.length]);
  }
});

/** Sockets of this machine that are connected to a port whose server has closed them, from /proc/net/tcp. */
function keptSockets(port: number): string[] {
  const CLOSE_WAIT = "08";
  const remote = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return Deno.readTextFileSync("/proc/net/tcp").split("\n").filter((line) => {
    const [, , peer, state] = line.trim().split(/\s+/);
    return peer?.endsWith(remote) && state === CLOSE_WAIT;
  });
}
