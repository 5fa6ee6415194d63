/** A clock that stands until it is moved, with the timers of the globals on it. For code that waits for nothing else. */

/** What runs on it. */
export interface FakeTime extends Disposable {
  /** ms since it was made. */
  readonly nowMs: () => number;
  /** Lets time pass, with all that is due meanwhile. */
  pass(ms: number): void;
  /** How many timers run. */
  readonly timers: number;
}

/** Takes the place of the timers until it is disposed of. */
export function fakeTime(): FakeTime {
  const own = ["setTimeout", "clearTimeout", "setImmediate", "clearImmediate"] as const;
  const real = own.map((name) => globalThis[name]);
  let nowMs = 0;
  let last = 0;
  const timers = new Map<number, { readonly dueMs: number; readonly action: () => void }>();
  const set = (action: () => void, ms = 0) => {
    timers.set(++last, { dueMs: nowMs + Math.max(0, ms), action });
    return last;
  };
  const clear = (id?: number) => void timers.delete(id ?? 0);
  const fakes = [set, clear, (action: () => void) => set(action), clear];
  const put = (all: readonly unknown[]) =>
    own.forEach((name, at) => Object.assign(globalThis, { [name]: all[at] }));
  put(fakes);
  return {
    nowMs: () => nowMs,
    pass(ms) {
      for (const endMs = nowMs + ms;;) {
        const [id, next] = [...timers].toSorted(([, a], [, b]) => a.dueMs - b.dueMs)[0] ?? [];
        if (next === undefined || next.dueMs > endMs) return void (nowMs = endMs);
        timers.delete(id!);
        nowMs = next.dueMs;
        next.action();
      }
    },
    get timers() {
      return timers.size;
    },
    [Symbol.dispose]: () => put(real),
  };
}
