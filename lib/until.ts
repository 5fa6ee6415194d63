/** Waiting for a promise no longer than a signal allows. */

/** Settles as the promise does, or rejects with `error()` when the signal comes first. */
export async function until<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  error: () => unknown,
): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(error());
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    promise.catch(() => {});
  }
}
