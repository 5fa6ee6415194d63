/**
 * In place of MQTT.js's table of the topic aliases that it gives, and of the package `lru-cache` beneath: 17 KB. It makes
 * one where the server takes aliases, and asks it only for those who turned them on, which this program does not.
 */
class NoAliases {}
Object.assign(exports, { __esModule: true, default: NoAliases });
