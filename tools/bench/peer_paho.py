"""A peer of the bench: paho, QoS 1 over mutual TLS with ALPN on MQTT 5.

peer_paho.py once|steady PORT CA CERT KEY ALPN PAYLOAD
"""

import ssl
import sys
import time

import paho.mqtt.client as mqtt

mode, port, ca, cert, key, alpn, payload = sys.argv[1:]


def acked(*_):
    if mode == "once":
        print("acked", flush=True)
        client.disconnect()


def connected(*_):
    if mode == "once":
        client.publish("bench/peer", payload, qos=1)


# paho 2 wants to be told which form of callback is meant.
version = [mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, "CallbackAPIVersion") else []
client = mqtt.Client(*version, client_id="bench-paho", protocol=mqtt.MQTTv5)
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
context.set_alpn_protocols([alpn])
client.tls_set_context(context)
client.on_connect = connected
client.on_publish = acked
client.connect("localhost", int(port))
if mode == "once":
    client.loop_forever()
else:
    client.loop_start()
    while True:
        client.publish("bench/peer", payload, qos=1)
        time.sleep(1)
