/**
 * The codes of failures: kebab-case, stable, one meaning each. The log has them as `code`, `doctor --json` too. Code
 * branches on them, never on a sentence. Only their type is used by the program, so the meanings cost no bytes there;
 * lib/doctor/README.md has them as a table (`deno task docs`).
 */

/** Every code and what it means. */
export const CODES = {
  // The command line and the settings.
  "wrong-command-line": "The command line cannot be understood",
  "wrong-settings": "Settings are unknown, out of range, missing or contradict each other",
  "wrong-settings-file": "The settings file cannot be read or is no JSON object",
  "settings-not-safe": "Another user may change the settings file",
  "wrong-policy-file": "The file given with --policy-file is no policy that can be judged",
  "policy-lacks-action": "The policy given with --policy-file does not allow what is needed",
  "keylog-set": "SSLKEYLOGFILE is set: it would write the keys of TLS to a file",
  "environment-ignored": "A variable is set that would weaken TLS elsewhere; it has no effect here",
  "not-granted": "This process was not granted what it needs: its permissions are scoped",
  "notify-failed": "The service manager cannot be told how the program fares",
  "watch-id-in-use": "watch was given the client id of the publisher that runs here",
  "clock-jumped": "The clock was set by more than a few seconds while the program ran",
  "stuck": "Publishing stands still; the watchdog will end the process",
  "output-failed": "Standard output cannot be written to",
  "run-as-publisher": "root looks at what another user's publisher owns",
  // The files of the identity.
  "file-not-found": "A file of the identity is not there",
  "file-not-readable": "A file of the identity cannot be read",
  "file-not-safe": "Another user may change a file of the identity, or read a secret",
  "file-ambiguous": "More than one file in the certificate directory could be meant",
  "wrong-file": "A file of the identity does not hold what it must",
  "wrong-passphrase": "The key's passphrase is missing or wrong, or its encryption is not known",
  "key-mismatch": "The key does not belong to the certificate",
  "unfit-certificate": "A certificate or key is of a kind that TLS here does not take",
  "ca-doubtful": "A configured CA certificate is expired, not valid yet or no CA's",
  "trust-changed": "The CA files came or went while the program ran",
  "certificate-expired": "The device certificate has expired",
  "certificate-expires-soon": "The device certificate expires within 30 days",
  "certificate-not-yet-valid": "The device certificate is not valid yet by this clock",
  "clock-wrong": "The clock is before the day this program was built",
  // The state directory and the queue.
  "state-in-use": "Another mqtt443 holds the state directory",
  "state-not-safe": "Another user may change the state directory or a file in it",
  "state-unusable": "The state directory cannot be made or written to",
  "state-volatile": "The state directory is in memory, and messages are to survive a power cut",
  "queue-damaged": "The queue file is damaged",
  "queue-newer": "A newer mqtt443 wrote the queue file",
  "queue-failed": "The queue file cannot be read or written",
  "queue-quarantine": "Messages that the endpoint did not take are set aside",
  "not-confirmed": "Messages are discarded only when somebody confirms it",
  // Sources and messages.
  "source-unreadable": "A source gave no reading",
  "source-limited": "The permissions hide a part of the machine from the source system",
  "no-reading": "No source gave a reading in time",
  "input-failed": "Standard input cannot be read",
  "message-too-large": "A message is larger than the endpoint takes",
  // The way to the endpoint.
  "dns-failed": "The name has no address, or the name server refused to say",
  "dns-timeout": "No name server answered in time",
  "tcp-refused": "The connection was refused",
  "tcp-timeout": "No answer to the attempt to connect",
  "tcp-unreachable": "This device has no route to the address",
  "tcp-forbidden": "A firewall on this device forbids the connection",
  "tcp-failed": "The connection failed in another way",
  "tls-timeout": "Connected, and no answer to the TLS handshake in time",
  "tls-hung-up": "The other side hung up during the TLS handshake",
  "tls-failed": "The TLS handshake failed in another way",
  "not-tls": "What answers does not speak TLS",
  "tls-version": "No common version of TLS",
  "tls-alert": "The server ended the handshake with a TLS alert",
  "server-untrusted": "The server's certificate is not signed by the CA that is trusted",
  "server-name": "The server's certificate is for another name",
  "server-certificate-expired": "The server's certificate has expired",
  "server-certificate-not-yet-valid": "The server's certificate is not valid yet by this clock",
  "server-certificate-wrong": "The server's certificate has another fault",
  "client-certificate-refused": "The server refused the device certificate with a TLS alert",
  "alpn-refused": "The server does not offer the ALPN protocol asked for",
  "alpn-ignored": "The server answered without an ALPN protocol",
  "alpn-other": "The server answered with another ALPN protocol",
  "alpn-cut": "The connection is cut when the ALPN protocol is asked for, and not without",
  // The MQTT session.
  "no-connack": "No CONNACK in time",
  "connect-hung-up": "The server hung up before CONNACK",
  "connack-refused": "CONNACK with a reason code other than success (`reason`)",
  "not-mqtt": "What answers does not speak MQTT, or breaks its rules",
  "no-suback": "No SUBACK in time",
  "suback-refused": "SUBACK with a reason code that refuses (`reason`)",
  "no-puback": "No PUBACK in time",
  "puback-refused": "PUBACK with a reason code that refuses (`reason`)",
  "no-pingresp": "No PINGRESP in time: the link is dead",
  "session-hung-up": "The server hung up in an open session, without a word",
  "disconnected": "The server ended the session with DISCONNECT (`reason`)",
  "stray-topic": "The server sent a message on a topic outside of the filter",
  // Tools of the project, not the program.
  "tool-failed": "A tool of the project could not do its work",
} as const satisfies Readonly<Record<string, string>>;

/** The code of a failure. */
export type Code = keyof typeof CODES;
