"""A peer of the bench: paho, QoS 1 over mutual TLS on MQTT 5.

peer_paho.py once|steady|lines|bulk PORT CA CERT KEY ALPN PAYLOAD [COUNT WINDOW]

ALPN may be "none". With lines each line of stdin is published, and it goes on when the link is cut. In bulk each
callback publishes the next message; what it took from the first PUBLISH to the last PUBACK is printed as JSON.
"""

import os
import ssl
import sys
import time

import paho.mqtt.client as mqtt

mode, port, ca, cert, key, alpn, payload = sys.argv[1:8]
count, window = map(int, sys.argv[8:10] or ["1", "20"])
sent = acked = 0


def publish(text=payload):
    global sent
    sent += 1
    client.publish("bench/peer", text, qos=1)


def on_publish(*_):
    global acked
    if mode in ("steady", "lines"):
        return
    if sent < count:
        publish()
    acked += 1
    if acked < count:
        return
    if mode == "once":
        print("acked", flush=True)
    else:
        ms = (time.monotonic() - start) * 1000
        print('{"ms":%.3f,"cpuMs":%.3f}' % (ms, (time.process_time() - start_cpu) * 1000))
    client.disconnect()


def on_connect(*_):
    global start, start_cpu
    start, start_cpu = time.monotonic(), time.process_time()
    if mode in ("once", "bulk"):
        while sent < min(count, window):
            publish()


# paho 2 wants to be told which form of callback is meant.
version = [mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, "CallbackAPIVersion") else []
client = mqtt.Client(*version, client_id="bench-paho-%d" % os.getpid(), protocol=mqtt.MQTTv5)
client.max_inflight_messages_set(window)
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
if alpn != "none":
    context.set_alpn_protocols([alpn])
client.tls_set_context(context)
client.on_connect = on_connect
client.on_publish = on_publish
if mode == "lines":
    # Other than connect, it tries again by itself when there is no server yet.
    client.connect_async("localhost", int(port))
    client.loop_start()
    for line in sys.stdin:
        publish(line.rstrip("\n"))
    sys.exit()
client.connect("localhost", int(port))
if mode == "steady":
    client.loop_start()
    while True:
        publish()
        time.sleep(1)
else:
    client.loop_forever()
