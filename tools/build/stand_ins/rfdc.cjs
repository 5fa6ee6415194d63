/**
 * In place of the package `rfdc`, with which MQTT.js copies each message of QoS 1 for its store: the one that this program
 * gives it keeps nothing, and changes nothing.
 */
module.exports = (packet) => packet;
module.exports.default = module.exports;
