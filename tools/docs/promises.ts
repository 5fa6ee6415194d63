/**
 * The promises by fault, and the test files that prove each. A test that proves one has its id at the end of its name:
 * `"… (T1)"`, `"… (T1, G8)"`. `deno task docs` writes the table into README.md, and a test sees that none is unproved.
 */

/** What is promised when that fault happens. */
export const PROMISES: Readonly<Record<string, string>> = {
  T1:
    "a server certificate of another CA: refused before a byte of MQTT, told with the CA file, tried again at the pace of the back-off",
  T2:
    "a server certificate for another name: refused, and the server learns nothing of this device",
  T3: "an expired server certificate: refused, with its date",
  T4:
    "a server certificate that is not valid yet: the clock is named, and once it is set the next attempt succeeds without a restart",
  T5: "ALPN refused or ignored: two sentences, and no CONNECT",
  T6:
    "a device certificate that is not accepted: said as such, also where the server only hangs up",
  T7: "the ClientHello: TLS 1.2 and 1.3 only, AWS's suites, SNI, ALPN",
  T8: "a large chain, large records, byte by byte: all taken",
  T9: "resets at any point of the handshake: no crash, no leak, no hurry",
  T10: "black holes: each attempt ends at `connectTimeout`",
  C1: "CONNACK withheld: jittered back-off within Device Advisor's limits",
  C2: "sessions that die young: the wait goes on growing",
  C3: "a good session: the wait begins small again",
  C4: "every refusing CONNACK: named, closed by us, and retried at the pace it deserves",
  C5: "bytes that are no MQTT: the session ends at once, memory stays",
  C6: "a duplicate client id: both go slow, and it is named",
  C7: "a DISCONNECT from the server: named, closed by us",
  C8: "DNS that fails or changes: a fresh look-up at each attempt",
  C9: "hours without the endpoint: attempts never stop",
  C10: "a fleet after an outage: no stampede",
  P1: "in order, and off the disk only after PUBACK",
  P2: "a PUBACK that does not come: noticed at `ackTimeout`, sent again on a new connection",
  P3: "a cut between PUBLISH and PUBACK: sent again once",
  P4:
    "one message that ends each session: set aside after others were let by; an outage sets none aside",
  P5: "a PUBACK that refuses: kept and retried, or set aside, never lost",
  P6:
    "rates: at most 100 messages and 512 KiB a second to AWS, never more in flight than the window or Receive Maximum",
  P7: "a message of more than 128 KiB: refused at the door, its neighbours not",
  P8: "a topic that cannot be published to: refused before any connection",
  L1:
    "a link that falls silent: known by `ackTimeout`, or 1.5 times `keepAlive` where `ackTimeout` is no more than half of it; a longer one is waited for",
  L2: "random cuts: nothing lost, repeats bounded",
  L3: "a slow link: it works, and is not taken for a dead one",
  L4: "a session closed in good order after a long time: back within seconds",
  Q1: "`kill -9`: nothing that was queued is lost",
  Q2: "`kill -9` 200 times at any instant: the same",
  Q3: "a power cut: nothing that was reported as queued is lost",
  Q4: "a full disk: publishing goes on, and queueing resumes when there is room",
  Q5: "a damaged queue: moved aside, saved as far as it can be read",
  Q6: "a read-only disk: refused at the start, survived in a run",
  Q7: "a full queue: exactly as many dropped as are too many, and counted",
  Q8: "70,000 waiting messages: all delivered",
  Q9: "a second process on one state directory: refused; a lock left behind: taken over",
  Q10: "planted links and open modes in the state directory: refused",
  Q11: "a queue written by an earlier release: carried over and drained",
  I1: "a receipt of a line that was handed in: its message is on disk first, whatever is killed",
  I2:
    "many, slow, silent, wrong and vanishing clients: each line answered in order, memory and descriptors bounded",
  I3: "a queue or disk that is full: the line is taken or answered with retry, as the policy says",
  I4: "the socket: only the users it is meant for can connect, and nothing planted is believed",
  I5: "the socket of systemd: a client that connects during a restart waits",
  K1: "samples in packs: what was put comes out, byte for byte, in either form",
  K2:
    "packs: consecutive messages of one topic and QoS, oldest first; a loss repeats what was in flight at most",
  K3: "a message under suspicion or refused: packs hold one, and it alone is set aside",
  K4:
    "the size of a pack: bounded by `pack`, Maximum Packet Size and 500 samples; rates count packets",
  K5:
    "`packWait`: a pack leaves when it is full, has waited, at the end, and at once while a backlog is sent",
  K6: "what did not become json here, and a message over the size: by itself, as it is",
  K7: "packs in the log and in doctor: samples are counted, and packets besides",
  K8: "topic aliases: only where the server takes them, and only once it knows them",
  O1:
    "a device that is killed, stopped, cut off or taken over: a second client sees it on `statusTopic`, now and later",
  O2:
    "a status topic or will that is refused: told once with the actions that it needs, and nothing else stops",
  O3:
    "the status file: whole at any time, gone after a clean end; a full disk, a read-only or foreign place stops nothing",
  O4: "`mqtt443 status`: what the file says, how old it is, in 80 columns, and by its exit code",
  X1: "SIGTERM: what is in flight is awaited, then DISCONNECT and exit 0",
  X2: "SIGTERM while offline, in a handshake, in a wait: exit 0, the queue whole",
  X3:
    "new certificates: used on a planned reconnect after SIGHUP; bad ones leave the session alone",
  X4: "the device certificate near its end: warned of at 30, 7 and 1 days",
  X5: "a clock that jumps: no reconnect, no burst, doubtful times marked",
  X6: "a suspended process: wakes without a burst",
  X7: "sources that hang, lie or vanish: the others go on",
  X8: "closed stdin, stdout or stderr, a full log disk: never fatal to publishing",
  X9:
    "a process that stands still: started anew by systemd's watchdog, nothing lost; an outage or a full disk wakes no watchdog",
  G1: "a key that others may read: refused with the chmod line",
  G2: "a key of another certificate: refused before any connection",
  G3: "an encrypted key: refused without its passphrase, and with a wrong one",
  G4: "PEM in all its forms: taken",
  G5: "a CA file that is empty, junk or missing: refused; never the public roots instead",
  G6: "a settings file of any kind: refused in a second, with the place",
  G7: "hostile values: refused by name",
  G8: "an environment that would weaken TLS: without effect",
  G15:
    "a flood from the server: the session ends at the first packet that nobody asked for, and messages that were asked for leave signals and timers their turn",
  Q12: "a disk without space or inodes, at the start or in a run: publishing goes on from memory",
  Q13: "a damaged queue and little room: nothing replaced before the replacement is whole",
  Q14: "input that ends, on a small disk: waits for the room there is",
  Q15: "what ends with the process: counted as dropped, and told as an error",
  Q16: "refusals between PUBACKs, in any order: counts are those of the rows",
  Q17: "quarantine and damaged copies: bounded, and their space given back",
  Q18: "a file that is not exactly ours: mended as damage is",
  Q19: "a disk that is really memory: warned of under durability power",
  D1:
    "a firewall that stops TLS by name, protocol or size: told as such, and no certificate blamed that was not sent",
  D2: "a CA made anew, a key too small, a self-signed server: each its own sentence, or taken",
  D3:
    "an encrypted key that cannot be decrypted here: its scheme is named, with the command that mends it, and no passphrase is blamed",
  D4: "a certificate for other names, or an expired one above it: named as it is",
  D5:
    "TLS inspection whose CA is trusted here: seen by AWS's issuer, and named before policy or certificate",
  D6: "Maximum QoS: read, tested with the QoS that is set, told where it is too low",
  D7:
    "Maximum Packet Size: held against the packet's own bytes, with no PUBACK reported that did not come",
  D8: "every reason code of MQTT: named, with a hint and a pace",
  D9: "what the server says in words: in the log and in doctor, quoted and cut",
  D10: "a policy document as AWS gives it: its variables filled in, and what cannot be judged said",
  D11: "a broker that closes on MQTT 5: MQTT 3.1.1 is tried and named",
  D12:
    "a PEM file in another form: taken where OpenSSL takes it, else named as what it is, with the command that mends it",
  D13: "several addresses of which one fails in TLS: named by doctor, left by publish",
  D14:
    "a rate limit of AWS behind a custom domain: kept where it is recognised, and --max-rate named elsewhere",
  D15: "sessions that end after a fixed time: the time is named, and no policy after PUBACKs",
  D16: "topics of device shadows: another format is warned of, and the test is a shadow document",
  D17: "addresses that are none, and a client id that many have: refused, warned of",
  D18: "what the broker said: stays the cause, however often it comes",
  D19: "messages that are refused: told once a minute for each cause, with a count",
  D21: "a retained message too large for watch: the limit is announced, and the rest is shown",
  D22: "a CONNACK that breaks the rules: ended and named",
  D23: "the end of a session: DISCONNECT and close_notify, whatever is outstanding",
  D20:
    "the keep-alive: PINGREQ counts from the last packet sent, PINGRESP may take as long as `ackTimeout`",
  D24: "Device Advisor: what is not passed, and what takes longer than its time, is said",
  D25: "what MQTT 3.1.1 cannot tell: said by doctor, and on its page",
  F4: "SIGUSR1, which opens Deno's debugger: the process ends at once, and nothing ever listens",
  F5:
    "an impostor whose CA Deno's own store holds: believed by no command; the variables do not even reach the program",
  F7: "an environment that would change what Deno does: a list of variables passes, and no other",
  G14:
    "a broker that sends topics of its own to `watch`: no control character reaches the terminal, and a topic outside the filter ends the session",
  F9: "the unit: of /proc nothing is seen but the files that the sources read",
  F13: "an installed executable: one runtime for all users, called `mqtt443`, and gone with it",
  F16: "the lines that README.txt prints: each works for a user with sudo",
  G12:
    "`install.sh` where links were planted: none is followed, out of an image or to other data, and what stays is said",
  F6:
    "a certificate or key that TLS will not take: refused with its kind and the openssl line that mends it, in every command; on SIGHUP the session goes on",
  F8: "files that are named: granted alone, and never the folder around them",
  F14: "sources that scoped permissions hide: told by publish under the unit, and by doctor",
  F15: "hints of an executable: the places that it may use, no flag that it refuses",
  F17:
    "doctor as root on a healthy gateway: nothing changed, no harm advised, and who shall run it",
  G9: "settings and certificates where others may write: refused, not used",
  G10:
    "CA files and certificates of another user, of open modes, or by another's link: refused with the line that mends it",
  G11: "a state directory of another user, and files in it with a second name: refused, untouched",
  G13: "root in the service's directory: nothing changed there, and nothing that hangs",
  G16: "a CA certificate that has expired or is no CA's: warned of, by doctor too",
  S1: "no output holds a key or a passphrase",
  S2: "one peer, no open port, no child, writes below the state directory only",
  S3: "no other host, file, program or native code than the grants name",
  S4: "the service: next to no rights (1.5 or better by systemd), and all its work done with them",
  S5: "10,000 mutated streams from a trusted endpoint: no crash, no growth",
  S6: "sensors that are slow or hang: each is waited for alone, and hides nothing but itself",
  S7:
    "sensors that are alike, come, go or are faulted: a name belongs to one device, across boots too, and no reading carries another's value",
  S8:
    "network counters: each byte once, by what the kernel says of an interface, and none ever falls",
  S9: "lines of metrics: sent byte for byte, without NaN and Infinity, which are counted and told",
  S10: "the disk of `/`: its figures are those of `/`, whatever is mounted elsewhere, or absent",
  S11:
    "the local time: right for POSIX zones and for zones that change; an unsynchronised clock is marked; sensors can be named by glob",
  F1: "a port that is silent, then well: each attempt is closed in time, the next one connects",
  F2: "`doctor` as users run it: every check is made",
  F3: "`watch` beside the running publisher: under a client id of its own, and never under its",
  F11: "the journal: each line with its own priority, and without a second time",
  F12:
    "one message a second: a line each on a terminal; in the journal the first of each session, then a summary every 10 minutes",
  F20:
    "what was typed out of habit: the flags of other clients are refused and translated, help lists what there is, and no queue is not an empty one",
  F22: "a queue that an earlier run filled for another topic or endpoint: told at the start",
  R1: "many sessions and messages: memory and descriptors stay flat",
  R2: "long outages: memory stays flat, the disk within its limit",
  F10: "with jsr.io and without: everything can be built, to the same bytes",
  F18: "a kit for one site and a kit for any: told apart by their names",
  F19: "the kit of the source: runs, tests and builds without a network",
  F21: "file names: none that Windows or JSR refuses",
};

/** Ids in parentheses at the end of a test's name; `(Q4; needs root)` too. */
const IDS = /\(((?:[A-Z]\d+, )*[A-Z]\d+)(?:; [^)"`]*)?\)["`]/g;

/** The test files that prove each promise, by id, below the folder `tests`. */
export function proofs(tests = new URL("../../tests/", import.meta.url)): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const file of testFiles(tests)) {
    const text = Deno.readTextFileSync(new URL(file, tests));
    const ids = [...text.matchAll(IDS)].flatMap(([, ids]) => ids!.split(", "));
    for (const id of new Set(ids)) found.set(id, [...found.get(id) ?? [], file]);
  }
  return found;
}

/** README's table. */
export function promisesTable(proved = proofs()): string {
  const rows = Object.entries(PROMISES).map(([id, promise]) =>
    `| ${id} | ${promise} | ${(proved.get(id) ?? []).map(named).join(", ")} |`
  );
  return ["| | promise | proved by |", "|---|---|---|", ...rows].join("\n");
}

function named(file: string): string {
  return `\`${file.replace(/_test\.ts$/, "")}\``;
}

function testFiles(folder: URL, prefix = ""): string[] {
  return [...Deno.readDirSync(new URL(prefix, folder))].flatMap(({ name, isDirectory }) =>
    isDirectory
      ? testFiles(folder, `${prefix}${name}/`)
      : name.endsWith("_test.ts")
      ? [`${prefix}${name}`]
      : []
  ).toSorted();
}
