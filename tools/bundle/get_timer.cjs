/** In place of MQTT.js's choice of timers, one of which is for browsers, where others stand still in the background. */
const timer = { set: (call, ms) => setInterval(call, ms), clear: (id) => clearInterval(id) };
Object.assign(exports, { __esModule: true, default: () => timer });
