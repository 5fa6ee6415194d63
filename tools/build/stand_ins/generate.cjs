/** In place of mqtt-packet's way to make a packet in memory, which MQTT.js never asks for. */
