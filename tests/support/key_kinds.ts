/** Pairs of each kind, made with openssl. */

/** A kind of pair. */
export interface Kind {
  readonly name: string;
  /** Of the key: the algorithm and options of `openssl genpkey`. @default EC on P-256 */
  readonly key?: readonly string[];
  /** What is written into the certificate beside `basicConstraints`; undefined: version 1. */
  readonly extension?: string;
  readonly version?: 1;
  /** What the refusal says; undefined: it is taken. */
  readonly says?: RegExp;
  /** Refused though TLS sends it. */
  readonly isTakenByTls?: true;
}

/** A curve by its name. */
function curve(name: string, ...more: string[]): string[] {
  return ["EC", `ec_paramgen_curve:${name}`, ...more];
}

/** The kinds: those that are taken, then those that are refused. */
export const KINDS: readonly Kind[] = [
  { name: "P-256" },
  { name: "P-384", key: curve("P-384") },
  { name: "P-521", key: curve("P-521") },
  { name: "Ed25519", key: ["ED25519"] },
  { name: "RSA with 2048 bits", key: ["RSA", "rsa_keygen_bits:2048"] },
  { name: "critical extensions that are known", extension: "keyUsage=critical,digitalSignature" },
  { name: "critical name constraints", extension: "nameConstraints=critical,permitted;DNS:a.b" },
  {
    name: "an unknown extension that is not critical",
    extension: "1.2.3.4.5=ASN1:UTF8String:x",
  },
  { name: "X.509 version 1", version: 1, says: /it is X\.509 version 1, .*3/, isTakenByTls: true },
  {
    name: "an unknown critical extension",
    extension: "1.2.3.4.5=critical,ASN1:UTF8String:x",
    says: /has a critical extension that is not known here \(1\.2\.3\.4\.5\)/,
  },
  {
    name: "critical policies",
    extension: "certificatePolicies=critical,1.2.3.4",
    says: /extension .*\(2\.5\.29\.32\)/,
  },
  {
    name: "RSA with 1024 bits",
    key: ["RSA", "rsa_keygen_bits:1024"],
    says: /has an RSA key of 1024 bits/,
  },
  {
    name: "RSA with 2047 bits",
    key: ["RSA", "rsa_keygen_bits:2047"],
    says: /has an RSA key of 2047 bits/,
  },
  { name: "RSA-PSS", key: ["RSA-PSS", "rsa_keygen_bits:2048"], says: /an RSA-PSS key/ },
  { name: "P-224", key: curve("secp224r1"), says: /a key on curve P-224/ },
  { name: "secp256k1", key: curve("secp256k1"), says: /a key on curve secp256k1/ },
  { name: "Brainpool", key: curve("brainpoolP256r1"), says: /a key on a Brainpool curve/ },
  {
    name: "explicit parameters",
    key: curve("P-256", "ec_param_enc:explicit"),
    says: /a key on a curve with explicit parameters/,
  },
  { name: "Ed448", key: ["ED448"], says: /an Ed448 key/ },
  { name: "DSA", key: ["DSA"], says: /a DSA key/ },
];

/** Runs a line of the shell in a folder. */
export async function sh(folder: string, line: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("sh", {
    args: ["-euc", line],
    cwd: folder,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(`${line}: ${new TextDecoder().decode(stderr)}`);
}

/** Makes `CA.pem`, `CA.key`, and a server's pair `srv.pem`, `srv.key`. */
export async function makeAuthorityFiles(folder: string): Promise<void> {
  const p256 = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
  await sh(
    folder,
    `openssl req -x509 ${p256} -keyout CA.key -out CA.pem -days 30 -subj "/CN=plant CA"
     openssl req ${p256} -keyout srv.key -out srv.csr -subj /CN=localhost
     echo basicConstraints=CA:FALSE > leaf.ext
     echo subjectAltName=DNS:localhost >> leaf.ext
     openssl x509 -req -in srv.csr -CA CA.pem -CAkey CA.key -CAcreateserial -days 30 -extfile leaf.ext -out srv.pem`,
  );
}

/** Makes a pair of that kind, signed by that CA. */
export async function makeKind(
  folder: string,
  { key = curve("P-256"), extension, version }: Kind,
  paths: { readonly cert: string; readonly key: string },
): Promise<void> {
  const [algorithm, ...options] = key;
  const generate = algorithm === "DSA"
    ? "openssl genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:2048 -out dsa; " +
      "openssl genpkey -paramfile dsa"
    : `openssl genpkey -algorithm ${algorithm} ${
      options.map((option) => `-pkeyopt ${option}`).join(" ")
    }`;
  const extensions = version === 1 ? "" : "-extfile kind.ext";
  await sh(
    folder,
    `${generate} -out '${paths.key}'; chmod 600 '${paths.key}'
     openssl req -new -key '${paths.key}' -subj "/CN=gw 7\\+a" -out kind.csr
     echo basicConstraints=CA:FALSE > kind.ext
     echo '${extension ?? ""}' >> kind.ext
     openssl x509 -req -in kind.csr -CA CA.pem -CAkey CA.key -CAcreateserial -days 30 ${extensions} -out '${paths.cert}'`,
  );
}
