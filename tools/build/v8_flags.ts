/**
 * What the program runs with besides its grants: flags of V8, from source and built in; and variables for the C library,
 * where its process is started by a file of ours.
 */

/**
 * The flags of V8.
 *
 * Without them V8 lets the heap grow to several times of what is in use before it looks for garbage. Measured on x86-64 while
 * 300,000 messages drain with a window of 100 and of 1000: peak 113 and 187 MiB without, 98 and 102 MiB with them, at the
 * same speed for the one and nine tenths of it for the other; no difference at a message a second.
 *
 * What the start leaves behind V8 collects twice, once little else is done: 25 ms of CPU each time, and not again for
 * minutes. It would begin half a minute after the start; with the third flag after 5 s: a MiB of memory is given back
 * sooner, and a device that has nothing to do sleeps from then on. CPU per message while 300,000 drain is the same.
 */
export const V8_FLAGS = "--v8-flags=" + [
  "--max-semi-space-size=2",
  "--heap-growing-percent=30",
  "--gc-memory-reducer-start-delay-ms=5000",
].join(",");

/**
 * For malloc of glibc. V8 compiles what runs often on threads of its own, each of which keeps an arena of what that took.
 * Measured after 1500 messages: 62.5 MiB resident instead of 66.3, and the same speed in bulk.
 */
export const MALLOC = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_TRIM_THRESHOLD_: "65536",
  MALLOC_TOP_PAD_: "16384",
} as const;
