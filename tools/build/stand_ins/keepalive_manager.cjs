/** In place of MQTT.js's keep-alive, which counts from what is received: lib/connection/keep_alive.ts counts from what is sent. */
class None {
  setKeepalive() {}
  reschedule() {}
  destroy() {}
}
Object.assign(exports, { __esModule: true, default: None });
