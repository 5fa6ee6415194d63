import { assertMatch } from "@std/assert";
import { verdictOnIssuer, verdictOnSpeech } from "../../lib/doctor/verdict.ts";

const AWS = {
  endpoint: "abc-ats.iot.eu-central-1.amazonaws.com",
  port: 443,
  alpn: "x-amzn-mqtt-ca",
  clientId: "gw-7",
  tlsMin: "1.2" as const,
  caFiles: ["AmazonRootCA1.pem"],
};
const BROKER = { ...AWS, endpoint: "broker.example", caFiles: ["ca.pem"] };

Deno.test("a certificate for AWS that no Amazon authority issued is a proxy's", () => {
  const shown = {
    subject: `CN=*.iot`,
    issuer: "O=Plant, CN=Gateway CA",
    chain: ["O=Plant, CN=Gateway CA"],
  };
  const { cause, hint } = verdictOnIssuer(shown, AWS);
  assertMatch(
    cause,
    /^a proxy that inspects TLS answers in place of AWS: "O=Plant, CN=Gateway CA"/,
  );
  assertMatch(
    hint,
    /let abc-ats\.iot\.eu-central-1\.amazonaws\.com:443 through without TLS inspection/,
  );
});

Deno.test("a certificate for AWS that Amazon issued is not taken for a proxy's", () => {
  const chain = ["C=US, O=Amazon, CN=Amazon RSA 2048 M01", "C=US, O=Amazon, CN=Amazon Root CA 1"];
  const { cause } = verdictOnIssuer({ subject: "CN=*.iot", issuer: chain[0]!, chain }, AWS);
  assertMatch(
    cause,
    /"C=US, O=Amazon, CN=Amazon Root CA 1" vouches .* AmazonRootCA1\.pem does not/,
  );
});

Deno.test("a certificate for a broker that is its own issuer is self-signed", () => {
  const shown = { subject: "CN=broker.example", issuer: "CN=broker.example", chain: [] };
  const { cause, hint } = verdictOnIssuer(shown, BROKER);
  assertMatch(
    cause,
    /self-signed certificate \("CN=broker\.example"\), and ca\.pem does not hold it/,
  );
  assertMatch(hint, /--ca PATH/);
});

Deno.test("what is said in place of TLS is named by its first bytes", () => {
  const cases: [said: string, cause: RegExp][] = [
    ["SSH-2.0-dropbear\r\n", /broker\.example:443 is an SSH server: it says "SSH-2\.0-dropbear"/],
    ["220 mail.example ESMTP\r\n", /is a mail or FTP server/],
    [
      "HTTP/1.0 200 OK\r\n\r\n",
      /a web server or HTTP proxy .* in plain text \("HTTP\/1\.0 200 OK"\)/,
    ],
    ["HTTP/1.1 302 Found\r\nLocation: http://p/\r\n", /captive portal .* sends to "http:\/\/p\/"/],
    ["\x15\x03\x01\0\x02\x02F", /speaks TLS .* each handshake is cut at its first packet/],
    ["\x00\xff?", /a server of another protocol: it says "\.\.\?"/],
  ];
  for (const [said, cause] of cases) assertMatch(verdictOnSpeech({ said }, BROKER).cause, cause);
});

Deno.test("silence, and a hang-up whatever is said, have causes of their own", () => {
  assertMatch(verdictOnSpeech("silent", BROKER).cause, /takes connections and says nothing/);
  assertMatch(verdictOnSpeech("closed", BROKER).cause, /hangs up whatever is said/);
});
