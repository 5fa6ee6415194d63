/**
 * Set-ups that people have reported, with their true cause: what `doctor` must say of each. tests/system/brokers/
 * causes_test.ts builds them with real servers; `deno task docs` makes the table in lib/doctor/README.md.
 */

import type { Code } from "../../lib/core/codes.ts";

/** One set-up. */
export interface Cause {
  /** The fault's id. */
  readonly id: string;
  readonly setUp: string;
  readonly cause: string;
  /** The check that says so; `publish` and ok: all is well. */
  readonly check: string;
  readonly status: "ok" | "warn" | "fail";
  readonly code?: Code;
  /** A part of what doctor gives as the cause, or, if ok, saw. */
  readonly says: string;
  /** What a probe rules out: no text of the finding may name it. */
  readonly never?: RegExp;
  readonly exitCode: number;
}

export const CAUSES = {
  nameReset: {
    id: "D1",
    setUp: "a box resets TLS by server name, mosquitto behind it",
    cause: "the firewall's rule for that name",
    check: "tls",
    status: "fail",
    code: "tls-name-cut",
    says:
      'asked for "localhost" it is cut, and asked for "www.example.com" the same address answers',
    never: /registered|not active/,
    exitCode: 69,
  },
  nameSwallowed: {
    id: "D1",
    setUp: "a box swallows TLS by server name, mosquitto behind it",
    cause: "the firewall's rule for that name",
    check: "tls",
    status: "fail",
    code: "tls-name-cut",
    says: 'asked for "localhost" nothing comes back',
    never: /registered|not active/,
    exitCode: 69,
  },
  tlsReset: {
    id: "D1",
    setUp: "a box resets every TLS handshake, mosquitto behind it",
    cause: "a firewall that forbids TLS",
    check: "tls",
    status: "fail",
    code: "tls-hung-up",
    says: "hangs up whatever is said: a firewall that cuts it",
    never: /registered|not active/,
    exitCode: 69,
  },
  alpnSwallowed: {
    id: "D1",
    setUp: "a box swallows handshakes with ALPN, HAProxy behind it",
    cause: "the firewall's rule for ALPN",
    check: "alpn",
    status: "fail",
    code: "alpn-cut",
    says: 'is silent when asked for protocol "x-amzn-mqtt-ca", and not without',
    exitCode: 69,
  },
  size: {
    id: "D1",
    setUp: "a box lets 600 bytes of each answer through (MTU), HAProxy behind it",
    cause: "larger packets are lost",
    check: "tls",
    status: "fail",
    code: "tls-stalled",
    says: "goes no further after the server's answer had begun, with our certificate and without",
    never: /registered|not active/,
    exitCode: 69,
  },
  nameUnknown: {
    id: "D1",
    setUp: "nginx with ssl_reject_handshake on",
    cause: "the server knows no such name",
    check: "tls",
    status: "fail",
    code: "server-name-unknown",
    says: "answers each handshake with the TLS alert UnrecognisedName",
    never: /registered|not active/,
    exitCode: 69,
  },
  selfSigned: {
    id: "D2",
    setUp: "mosquitto with a self-signed certificate (CA:TRUE), which is given as --ca",
    cause: "nothing is wrong",
    check: "publish",
    status: "ok",
    says: "PUBACK for a test message",
    exitCode: 0,
  },
  caAnew: {
    id: "D2",
    setUp: "mosquitto whose CA was made anew under the same name",
    cause: "the CA file here is the old one",
    check: "tls",
    status: "fail",
    code: "server-signature",
    says: "the CA was made anew under the same name",
    exitCode: 69,
  },
  weakKey: {
    id: "D2",
    setUp: "openssl s_server with an RSA key of 1024 bits",
    cause: "the server's key is too small",
    check: "tls",
    status: "fail",
    code: "server-signature",
    says: "its key is too small (RSA below 2048 bits)",
    never: /wrong CA/,
    exitCode: 69,
  },
  addressAsName: {
    id: "D4",
    setUp: "mosquitto by its address, which its certificate has as a DNS name",
    cause: "the certificate has no IP address",
    check: "tls",
    status: "fail",
    code: "server-name",
    says: 'its certificate is for a host named "127.0.0.1", not for the address',
    exitCode: 69,
  },
  oldIntermediate: {
    id: "D4",
    setUp: "openssl s_server with a good certificate and an expired intermediate",
    cause: "the intermediate has expired",
    check: "tls",
    status: "fail",
    code: "server-certificate-expired",
    says: "the server's own certificate is in date",
    exitCode: 69,
  },
  inspection: {
    id: "D5",
    setUp: "squid with ssl_bump whose CA is trusted here, and an endpoint of AWS",
    cause: "TLS inspection",
    check: "tls",
    status: "warn",
    code: "tls-inspected",
    says: "TLS is inspected on the way",
    exitCode: 77,
  },
  qos: {
    id: "D6",
    setUp: "mosquitto with max_qos 0, --qos 1",
    cause: "the broker takes QoS 0 alone",
    check: "mqtt-connect",
    status: "fail",
    code: "qos-not-supported",
    says: "Maximum QoS 0",
    exitCode: 77,
  },
  qos0: {
    id: "D6",
    setUp: "mosquitto with max_qos 0, --qos 0",
    cause: "nothing is wrong",
    check: "publish",
    status: "ok",
    says: "with QoS 0, which no server acknowledges",
    exitCode: 0,
  },
  packetSize: {
    id: "D7",
    setUp: "mosquitto with max_packet_size 120",
    cause: "messages are larger than the broker takes",
    check: "mqtt-connect",
    status: "fail",
    code: "packet-too-large",
    says: "and the server takes 120 at most",
    exitCode: 77,
  },
  messageSize: {
    id: "D8",
    setUp: "mosquitto with message_size_limit 20",
    cause: "the message is larger than the broker takes",
    check: "publish",
    status: "fail",
    code: "puback-refused",
    says: "PUBACK 0x95 packet too large",
    never: /duplicate|another device|policy/,
    exitCode: 77,
  },
  denied: {
    id: "D8",
    setUp: "mosquitto whose ACL denies the topic",
    cause: "the ACL",
    check: "publish",
    status: "fail",
    code: "puback-refused",
    says: "does not allow iot:Publish on this topic",
    exitCode: 77,
  },
  plain: {
    id: "D1",
    setUp: "mosquitto without TLS",
    cause: "a listener without TLS",
    check: "tls",
    status: "fail",
    code: "plain-mqtt",
    says: "in plain text it speaks MQTT",
    never: /firewall/,
    exitCode: 69,
  },
} as const satisfies Readonly<Record<string, Cause>>;
