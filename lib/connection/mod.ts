/** The connection room: TLS, the MQTT session on it, and what their failures mean. */

export { openConnection } from "./open.ts";
export {
  explainAlpn,
  explainNotGranted,
  explainSilence,
  explainTimeout,
  explainTransport,
} from "./explain.ts";
export { Connector } from "./renewal.ts";
export { addressesOf, openTcp } from "./tcp.ts";
export { openTransport, serverNameOf, type Transport } from "./tls.ts";
export { checkEnvironment, checkGrants } from "./trust.ts";
export { type Connection, targetOf } from "./types.ts";
