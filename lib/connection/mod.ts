/** The connection room: TLS, the MQTT session on it, and what their failures mean. */

export { openConnection } from "./open.ts";
export {
  explainAlpn,
  explainNotGranted,
  explainSilence,
  explainTimeout,
  explainTransport,
  tunnelLimits,
} from "./explain.ts";
export { Connector } from "./renewal.ts";
export { type Hop, openFirstHop } from "./first_hop.ts";
export { serverNameOf } from "./handshake.ts";
export { addressesOf, openTcp } from "./tcp.ts";
export { openTransport, type Transport } from "./tls.ts";
export {
  checkEnvironment,
  checkGrants,
  proxyVariable,
  warnOfProxyVariable,
  withProxyHint,
} from "./trust.ts";
export { type Connection, targetOf } from "./types.ts";
