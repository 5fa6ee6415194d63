/**
 * The keep-alive of a session: when PINGREQ is due, and how long its PINGRESP may take.
 *
 * PINGREQ is due when nothing was sent for the keep-alive: the server counts what it gets (MQTT 5 section 3.1.2.10), and
 * what it sends itself, a late PUBACK say, puts nothing off. It is also due when nothing was received for that long, or
 * somewhat sooner: a link that takes QoS 0 messages and is dead is known within 1.5 times the keep-alive.
 */

/** A timer later than this was stopped with the process or the machine; then the answer may wait to be read. In ms. */
const LATE_MS = 1000;

/** What it works with. */
export interface KeepAliveOptions {
  /** Longest silence of either side, in ms. */
  readonly keepAliveMs: number;
  /** Longest wait for PINGRESP, in ms. */
  readonly ackTimeoutMs: number;
  /** Sends PINGREQ. */
  readonly ping: () => void;
  /** No PINGRESP came in time. */
  readonly onSilence: () => void;
  /** ms of a clock that never jumps. @default performance.now */
  readonly monotonicMs?: () => number;
  /** Runs an action after so many ms, unless the returned function is called. @default setTimeout */
  readonly later?: (action: () => void, ms: number) => () => void;
}

/** Watches one session until it is stopped. */
export class KeepAlive {
  readonly #options: Required<KeepAliveOptions>;
  /** How long nothing may be received before PINGREQ is due, in ms. */
  readonly #quietMs: number;
  #sentMs: number;
  #receivedMs: number;
  /** Since when PINGRESP is awaited. */
  #askedMs = 0;
  /** PINGREQs that are not answered. */
  #open = 0;
  #cancel = () => {};

  /** Begins: CONNACK has just come. */
  constructor(options: KeepAliveOptions) {
    this.#options = { monotonicMs: () => performance.now(), later, ...options };
    const { keepAliveMs, ackTimeoutMs } = options;
    this.#quietMs = Math.min(
      keepAliveMs,
      Math.max(keepAliveMs / 2, 1.5 * keepAliveMs - ackTimeoutMs),
    );
    this.#sentMs = this.#receivedMs = this.#options.monotonicMs();
    this.#look();
  }

  /** A packet was sent. It sets no timer: that would cost a tenth of the CPU where many are sent. */
  sent(): void {
    this.#sentMs = this.#options.monotonicMs();
  }

  /** Bytes were received. */
  received(): void {
    this.#receivedMs = this.#options.monotonicMs();
  }

  /** PINGRESP has come. Returns whether it was asked for. */
  answered(): boolean {
    if (this.#open === 0) return false;
    this.#open--;
    this.received();
    this.#askedMs = this.#receivedMs;
    this.#look();
    return true;
  }

  /** Ends it. */
  stop(): void {
    this.#cancel();
  }

  #wait(ms: number): void {
    this.#cancel();
    this.#cancel = this.#options.later(() => this.#look(), ms);
  }

  #look(): void {
    const { keepAliveMs, ackTimeoutMs, ping, onSilence, monotonicMs } = this.#options;
    const nowMs = monotonicMs();
    const lateMs = this.#open === 0 ? -Infinity : nowMs - this.#askedMs - ackTimeoutMs;
    if (lateMs >= 0 && lateMs < LATE_MS) return onSilence();
    const quietMs = this.#open === 0 ? this.#receivedMs + this.#quietMs - nowMs : Infinity;
    const dueMs = Math.min(quietMs, this.#sentMs + keepAliveMs - nowMs);
    if (dueMs > 0 && lateMs < 0) return this.#wait(Math.min(dueMs, -lateMs));
    if (this.#open === 0 || lateMs >= 0) this.#askedMs = nowMs;
    this.#open++;
    this.#sentMs = nowMs;
    this.#wait(Math.min(keepAliveMs, this.#askedMs + ackTimeoutMs - nowMs));
    ping();
  }
}

function later(action: () => void, ms: number): () => void {
  const timer = setTimeout(action, ms);
  return () => clearTimeout(timer);
}
