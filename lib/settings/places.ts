/** Where things are looked for, and the variables that others than the settings read. */

/** Where a settings file is looked for if none is named. */
export const CONFIG_PATHS = ["./mqtt443.json", "/etc/mqtt443/mqtt443.json"] as const;
/** Where certificates are looked for if no directory is named. */
export const CERTS_PATHS = ["./certs", "/etc/mqtt443/certs"] as const;

/** Variables through which Deno's own trust store can be changed. It is not used here: the roots are given with each call. */
export const TRUST_VARIABLES = ["DENO_TLS_CA_STORE", "DENO_CERT", "NODE_EXTRA_CA_CERTS"] as const;

/** Variables that are looked at only to refuse or warn. */
export const WARNED_VARIABLES = [
  "SSLKEYLOGFILE",
  "NODE_TLS_REJECT_UNAUTHORIZED",
  "MQTTJS_SOCKS_PROXY",
] as const;

/** Variables that name a proxy to other programs. They are not used here, and named where the direct way fails. */
export const PROXY_VARIABLES = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] as const;

/** The variables by which systemd says where it listens, and how often it wants to hear that all is well. */
export const NOTIFY_VARIABLES = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] as const;

/** The variables by which systemd hands over a socket. */
export const LISTEN_VARIABLES = ["LISTEN_PID", "LISTEN_FDS"] as const;

/** Where the system's systemd listens. */
export const NOTIFY_PATH = "/run/systemd/notify";
