/** In place of the package `worker-timers`, which MQTT.js loads everywhere and uses in browsers alone. */
module.exports = {};
