/** The connection room: TLS, the MQTT session on it, and what their failures mean. */

export { openConnection } from "./open.ts";
export { explainTimeout, explainTransport } from "./explain.ts";
export { explainSilence, tunnelLimits } from "./explain_mqtt.ts";
export { explainNotGranted } from "./explain_tcp.ts";
export { explainAlpn } from "./explain_tls.ts";
export { PublishRefusedError } from "./reason_codes.ts";
export { Connector } from "./renewal.ts";
export { type Hop, openFirstHop } from "./first_hop.ts";
export { issuersOf, nameText, strangerOf } from "./peer.ts";
export { publishBytes } from "./packet.ts";
export { addressesOf, isAddress, openTcp } from "./tcp.ts";
export { openTransport, type Transport } from "./tls.ts";
export {
  checkEnvironment,
  checkGrants,
  proxyVariable,
  warnOfProxyVariable,
  withProxyHint,
} from "./trust.ts";
export { type Connection, type Opening, targetOf, WILL_DELAY_S } from "./types.ts";
