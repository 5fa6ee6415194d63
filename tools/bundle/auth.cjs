/** In place of MQTT.js's answer to AUTH, at which lib/session.ts ends the session. */
Object.assign(exports, { __esModule: true, default: () => {} });
