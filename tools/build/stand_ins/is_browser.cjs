/** In place of what MQTT.js finds out about where it runs. */
Object.assign(exports, { __esModule: true, default: false, isWebWorker: false });
