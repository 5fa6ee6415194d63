import { assert, assertEquals, assertMatch } from "@std/assert";
import { explainTimeout, explainTransport } from "../../lib/connection/explain.ts";
import { explainHangUp, explainSilence } from "../../lib/connection/explain_mqtt.ts";
import { explainAlpn } from "../../lib/connection/explain_tls.ts";
import { place, type Target } from "../../lib/core/endpoint.ts";
import { EXIT, type Step, UserError } from "../../lib/core/errors.ts";

const DONE = { sent: 1, acknowledged: 0, ms: 50 };
const NOW = new Date("2026-11-23T03:24:45Z");
const TARGET: Target = {
  endpoint: "gw.example",
  port: 443,
  alpn: "x-amzn-mqtt-ca",
  clientId: "gw-7",
  tlsMin: "1.2",
  caFiles: ["certs/AmazonRootCA1.pem"],
};

interface Case {
  /** What Deno 2.9.6 says. */
  readonly text: string;
  /** Fields of the error besides its text. */
  readonly fields?: {
    readonly code: string;
    readonly syscall?: string;
    readonly cert?: {
      readonly subjectaltname?: string;
      readonly subject?: { readonly CN?: string };
    };
  };
  readonly step: Step;
  readonly message: RegExp;
  readonly hint: RegExp;
  readonly exitCode?: number;
}

const INVALID = "invalid peer certificate: ";

const TRANSPORT: Record<string, Case> = {
  "a name that is not found": {
    text: "getaddrinfo ENOTFOUND gw.example",
    fields: { code: "ENOTFOUND", syscall: "getaddrinfo" },
    step: "dns",
    message: /^Cannot find the address of gw\.example: Name or service not known$/,
    hint: /--endpoint.*getent hosts gw\.example/,
  },
  "a name server that does not answer": {
    text: "getaddrinfo EAI_AGAIN gw.example",
    fields: { code: "EAI_AGAIN", syscall: "getaddrinfo" },
    step: "dns",
    message: /Temporary failure in name resolution$/,
    hint: /name server/,
  },
  "a refused connection": {
    text: "connect ECONNREFUSED 192.0.2.1:443",
    fields: { code: "ECONNREFUSED", syscall: "connect" },
    step: "tcp",
    message: /^Cannot connect to gw\.example:443: connection refused$/,
    hint: /--endpoint and --port/,
  },
  "no route": {
    text: "connect ENETUNREACH 192.0.2.1:443 - Local (0.0.0.0:0)",
    fields: { code: "ENETUNREACH", syscall: "connect" },
    step: "tcp",
    message: /: Network is unreachable$/,
    hint: /ip route/,
  },
  "packets that are dropped": {
    text: "connect ETIMEDOUT 192.0.2.1:443",
    fields: { code: "ETIMEDOUT", syscall: "connect" },
    step: "tcp",
    message: /no answer$/,
    hint: /firewall/,
  },
  "packets that this device's own firewall stops": {
    text: "connect EPERM 192.0.2.1:443 - Local (0.0.0.0:0)",
    fields: { code: "EPERM", syscall: "connect" },
    step: "tcp",
    message: /: a firewall on this device forbids it$/,
    hint: /nft list ruleset/,
  },
  "a hang-up during the handshake": {
    text: "Client network socket disconnected before secure TLS connection was established",
    fields: { code: "ECONNRESET" },
    step: "tls",
    message: /hung up during the TLS handshake$/,
    hint: /firewall|server/,
  },
  "a reset during the handshake": {
    text: "read ECONNRESET",
    fields: { code: "ECONNRESET", syscall: "read" },
    step: "tls",
    message: /hung up during the TLS handshake$/,
    hint: /--port/,
  },
  "another protocol": {
    text: "received corrupt message of type InvalidContentType",
    step: "tls",
    message: /does not speak TLS$/,
    hint: /--port/,
  },
  "a server of the time before TLS 1.2": {
    text: "peer is incompatible: ServerDoesNotSupportTls12Or13",
    step: "tls",
    message: /speaks neither TLS 1\.2 nor 1\.3$/,
    hint: /--endpoint and --port/,
  },
  "a server with no cipher in common": {
    text: "peer is incompatible: NoCipherSuitesInCommon",
    step: "tls",
    message: /no common TLS \(NoCipherSuitesInCommon\)$/,
    hint: /renewed/,
  },
  "another CA": {
    text: `${INVALID}UnknownIssuer`,
    step: "tls",
    message: /not signed by the configured CA \("certs\/AmazonRootCA1\.pem"\)$/,
    hint: /--ca PATH/,
  },
  "a wrong name": {
    text: "Hostname/IP does not match certificate's altnames: Host: gw.example. is not in …",
    fields: {
      code: "ERR_TLS_CERT_ALTNAME_INVALID",
      cert: { subjectaltname: "DNS:localhost, IP Address:127.0.0.1", subject: { CN: "gw" } },
    },
    step: "tls",
    message: /certificate is for "localhost" or "127\.0\.0\.1", not for "gw\.example"$/,
    hint: /--endpoint/,
  },
  "a certificate without a name": {
    text: "Hostname/IP does not match certificate's altnames: Cert does not contain a DNS name",
    fields: {
      code: "ERR_TLS_CERT_ALTNAME_INVALID",
      cert: { subject: {} },
    },
    step: "tls",
    message: /certificate is for no name at all, not for "gw\.example"$/,
    hint: /--endpoint/,
  },
  "a chain of which rustls says nothing": {
    text: "unable to verify the first certificate",
    fields: { code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" },
    step: "tls",
    message: /its certificate chain does not hold \(unable to verify the first certificate\)$/,
    hint: /mqtt443 doctor/,
  },
  "another CA, by node:tls": {
    text: "unable to get local issuer certificate",
    fields: { code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY" },
    step: "tls",
    message: /not signed by the configured CA \("certs\/AmazonRootCA1\.pem"\)$/,
    hint: /--ca PATH/,
  },
  "an expired server certificate": {
    text: `${INVALID}certificate expired: verification time 1795404285 (UNIX), ` +
      `but certificate is not valid after 1795404000 (86400 seconds ago)`,
    step: "tls",
    message: /expired at 2026-11-23T03:20:00\.000Z; this device says it is 2026-11-23T03:24:45/,
    hint: /timedatectl/,
  },
  "a server certificate not valid yet": {
    text: `${INVALID}certificate not valid yet: verification time 1795404285 (UNIX), ` +
      `but certificate is not valid before 1795404900 (615 seconds in future)`,
    step: "tls",
    message: /valid from 2026-11-23T03:35:00\.000Z only.*the clock is probably wrong$/,
    hint: /timedatectl set-ntp true/,
  },
  "another fault of the server certificate": {
    text: `${INVALID}BadEncoding`,
    step: "tls",
    message: /its certificate is wrong \(BadEncoding\)$/,
    hint: /--endpoint/,
  },
  "no common protocol": {
    text: "received fatal alert: NoApplicationProtocol",
    step: "alpn",
    message: /does not offer protocol "x-amzn-mqtt-ca"$/,
    hint: /pass --alpn none/,
  },
  "a refused device certificate": {
    text: "received fatal alert: CertificateUnknown",
    step: "tls",
    message: /refused the device certificate \(TLS alert CertificateUnknown\)$/,
    hint: /registered and active/,
    exitCode: EXIT.refused,
  },
  "a missing device certificate": {
    text: "received fatal alert: CertificateRequired",
    step: "tls",
    message: /refused the device certificate/,
    hint: /AWS IoT console/,
    exitCode: EXIT.refused,
  },
  "another alert": {
    text: "received fatal alert: ProtocolVersion",
    step: "tls",
    message: /TLS alert ProtocolVersion$/,
    hint: /TLS 1\.2 and 1\.3/,
  },
  "what nobody foresaw": {
    text: "the moon is full",
    step: "tcp",
    message: /^Cannot connect to gw\.example:443: the moon is full$/,
    hint: /--log-level debug/,
  },
};

for (
  const [name, { text, fields, step, message, hint, exitCode = EXIT.unavailable }] of Object
    .entries(
      TRANSPORT,
    )
) {
  Deno.test(`explainTransport explains ${name}`, () => {
    const cause = Object.assign(new Error(text), fields);
    const error = explainTransport(cause, TARGET, NOW);
    assertMatch(error.message, message);
    assertMatch(error.hint, hint);
    assertEquals([error.step, error.exitCode, error.cause], [step, exitCode, cause]);
  });
}

Deno.test("explainTransport names the public roots where no CA is configured", () => {
  const error = explainTransport(
    new Error(`${INVALID}UnknownIssuer`),
    { ...TARGET, caFiles: [] },
    NOW,
  );
  assertMatch(error.message, /not signed by the public roots$/);
});

Deno.test("explainTransport explains a permission that is missing as settings", () => {
  const error = explainTransport(new Deno.errors.NotCapable("Requires net access"), TARGET, NOW);
  assertEquals([error.step, error.exitCode], ["settings", EXIT.config]);
  assertMatch(error.hint, /deno task publish/);
});

Deno.test("explainTransport names --tls-min where the server lacks TLS 1.3 and it is set", () => {
  const alert = new Error("received fatal alert: ProtocolVersion");
  const error = explainTransport(alert, { ...TARGET, tlsMin: "1.3" }, NOW);
  assertMatch(error.message, /does not speak TLS 1\.3$/);
  assertMatch(error.hint, /--tls-min 1\.2/);
});

Deno.test("explanations hand on what was explained before", () => {
  const error = new UserError("told", {
    code: "client-certificate-refused",
    hint: "done",
    exitCode: EXIT.refused,
  });
  assertEquals(explainTransport(error, TARGET, NOW), error);
  assertEquals(explainHangUp(DONE, error, TARGET, NOW), error);
});

Deno.test("explainTimeout says how far it came and how long it waited", () => {
  const said = (["tcp", "tls", "mqtt"] as const).map((step) => {
    const error = explainTimeout(step, 1500, TARGET);
    assertEquals([error.step, error.exitCode], [step, EXIT.unavailable]);
    return error.message;
  });
  assertMatch(said[0]!, /Cannot connect to gw\.example:443: no answer within 1\.5 s$/);
  assertMatch(said[1]!, /connected, but no TLS answer within 1\.5 s$/);
  assertMatch(said[2]!, /no CONNACK within 1\.5 s$/);
});

Deno.test("explainAlpn names the protocol asked for and the one got", () => {
  const error = explainAlpn(null, TARGET);
  assertEquals([error.step, error.exitCode], ["alpn", EXIT.unavailable]);
  assertMatch(error.message, /without protocol "x-amzn-mqtt-ca": the server ignores ALPN$/);
  assertMatch(explainAlpn("h2", TARGET).message, /with protocol "h2" instead of "x-amzn-mqtt-ca"$/);
  assertMatch(error.hint, /--alpn none/);
});

Deno.test("explainAlpn tells ignored, lost on the way, and cut apart (T5)", () => {
  const aws = { ...TARGET, endpoint: "abc-ats.iot.eu-central-1.amazonaws.com", port: 443 };
  assertMatch(explainAlpn(null, aws).message, /was lost on the way: AWS always agrees to it/);
  assertMatch(explainAlpn("hung-up", TARGET).message, /hangs up when asked .* and not without$/);
  assertMatch(explainAlpn("hung-up", TARGET).hint, /a firewall most likely cuts it/);
});

Deno.test("explainHangUp before CONNACK points at certificate and policy", () => {
  const error = explainHangUp("connect", undefined, TARGET, NOW);
  assertEquals(error.message, "gw.example:443 hung up before CONNACK");
  assertMatch(error.hint, /iot:Connect for client\/gw-7.*connect_failed\/gw-7/);
});

Deno.test("explainHangUp of a session points at a duplicate client id and the policy", () => {
  const error = explainHangUp(DONE, new Error("Connection reset by peer"), TARGET, NOW);
  assertEquals(error.message, "gw.example:443 hung up (connection reset)");
  assertMatch(error.hint, /iot:Publish.*client id "gw-7".*disconnected\/gw-7/);
});

Deno.test("explainHangUp prefers the alert that TLS 1.3 sends after the handshake", () => {
  const alert = new Error("received fatal alert: CertificateRequired");
  const error = explainHangUp("connect", alert, TARGET, NOW);
  assertEquals([error.step, error.exitCode], ["tls", EXIT.refused]);
});

Deno.test("explainSilence says what did not come", () => {
  const puback = explainSilence("PUBACK", 20_000, TARGET);
  assertEquals([puback.step, puback.message], [
    "publish",
    "No PUBACK from gw.example:443 within 20 s",
  ]);
  assertEquals(explainSilence("PINGRESP", 1000, TARGET).step, "mqtt");
});

Deno.test("place puts brackets around an IPv6 address", () => {
  assertEquals(place({ endpoint: "::1", port: 443 }), "[::1]:443");
  assertEquals(place(TARGET), "gw.example:443");
});

Deno.test("every hint of a failure is no sentence with an end", () => {
  for (const { text } of Object.values(TRANSPORT)) {
    const { message, hint } = explainTransport(new Error(text), TARGET, NOW);
    assert(!message.endsWith(".") && !hint.endsWith("."), message);
  }
});
