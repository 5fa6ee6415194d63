/** Standard paths, and environment variables that are not settings. */

/** Settings files, if none is named; the first that exists is used. */
export const CONFIG_PATHS = ["./mqtt443.json", "/etc/mqtt443/mqtt443.json"] as const;
/** Certificate directories, if none is named. */
export const CERTS_PATHS = ["./certs", "/etc/mqtt443/certs"] as const;

/** Variables that change Deno's trust store, which is not used: the roots are passed with each connection. */
export const TRUST_VARIABLES = ["DENO_TLS_CA_STORE", "DENO_CERT", "NODE_EXTRA_CA_CERTS"] as const;

/** Variables that are read only to refuse them or to warn. */
export const WARNED_VARIABLES = [
  "SSLKEYLOGFILE",
  "NODE_TLS_REJECT_UNAUTHORIZED",
  "MQTTJS_SOCKS_PROXY",
] as const;

/** Variables that name a proxy to other programs: not used, but named where connecting directly fails. */
export const PROXY_VARIABLES = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] as const;

/** Variables of systemd: where it listens, and how often the watchdog must be fed. */
export const NOTIFY_VARIABLES = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] as const;

/** The variables by which systemd hands over a socket. */
export const LISTEN_VARIABLES = ["LISTEN_PID", "LISTEN_FDS"] as const;

/** Where the running publisher says how it fares, if nothing else is set. */
export const STATUS_PATH = "/run/mqtt443/status.json";

/** Where systemd listens for notifications. */
export const NOTIFY_PATH = "/run/systemd/notify";
