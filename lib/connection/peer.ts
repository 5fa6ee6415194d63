/** The certificate that a server shows, read without believing it. Pure. */

/** A certificate as node:tls shows it. */
export interface Shown {
  readonly subject?: unknown;
  readonly issuer?: unknown;
  readonly issuerCertificate?: Shown;
}

/** Who signs AWS IoT Core's certificates: Amazon Trust Services, and Starfield's root above it. */
const AWS_ISSUERS = /\b(Amazon|Starfield)\b/;

/** A distinguished name as text. */
export function nameText(name: unknown): string {
  return Object.entries((name ?? {}) as Record<string, string>).map(([key, value]) =>
    `${key}=${value}`
  ).join(", ");
}

/** The issuers up the chain, as far as it was shown. */
export function issuersOf(shown: Shown): string[] {
  const chain: string[] = [];
  // A root is its own issuer; ten is more than any chain has.
  for (let at: Shown | undefined = shown; at && chain.length < 10;) {
    const issuer = nameText(at.issuer);
    if (issuer === "" || chain.at(-1) === issuer) break;
    chain.push(issuer);
    // What comes next need not be the issuer: Deno goes on with what it was told to trust.
    const next: Shown | undefined = at.issuerCertificate;
    at = nameText(next?.subject) === issuer ? next : undefined;
  }
  return chain;
}

/** The issuer of a certificate that was shown under a name of AWS's, where it is not one of AWS's. */
export function strangerOf(shown: Shown): string | undefined {
  const chain = issuersOf(shown);
  return chain.length === 0 || chain.some((issuer) => AWS_ISSUERS.test(issuer))
    ? undefined
    : chain[0];
}
