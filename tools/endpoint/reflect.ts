/**
 * The little of `Reflect` metadata that @peculiar/x509 asks for: its container reads decorator
 * metadata at import time and refuses to load without it. Import this file before that package.
 *
 * Nothing we use ever defines metadata, so "none" is always the right answer.
 */

const reflect = Reflect as typeof Reflect & Record<string, unknown>;
reflect["getMetadata"] ??= () => undefined;
reflect["getOwnMetadata"] ??= () => undefined;
