/** In place of MQTT.js's answer to AUTH, at which lib/connection/mqtt.ts ends the session. */
Object.assign(exports, { __esModule: true, default: () => {} });
