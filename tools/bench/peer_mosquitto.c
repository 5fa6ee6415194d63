/*
 * A peer of the bench: libmosquitto, QoS 1 over mutual TLS on MQTT 5, as fast as its window lets it.
 *
 * peer_mosquitto PORT CA CERT KEY ALPN PAYLOAD COUNT WINDOW
 *
 * Each on_publish callback publishes the next message; what it took from the first PUBLISH to the last PUBACK is printed
 * as JSON. ALPN may be "none".
 */

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char *payload;
static int payload_bytes, count, window, sent, acked;
static double start_ms, start_cpu_ms;

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static double cpu_ms(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3;
}

static void check(int code, const char *what) {
    if (code == MOSQ_ERR_SUCCESS) return;
    fprintf(stderr, "%s: %s\n", what, mosquitto_strerror(code));
    exit(1);
}

static void publish(struct mosquitto *client) {
    sent++;
    check(mosquitto_publish_v5(client, NULL, "bench/peer", payload_bytes, payload, 1, false, NULL),
          "publish");
}

static void on_connect(struct mosquitto *client, void *data, int code) {
    (void)data;
    check(code == 0 ? MOSQ_ERR_SUCCESS : MOSQ_ERR_CONN_REFUSED, "connect");
    start_ms = now_ms();
    start_cpu_ms = cpu_ms();
    while (sent < window && sent < count) publish(client);
}

static void on_publish(struct mosquitto *client, void *data, int id) {
    (void)data, (void)id;
    if (sent < count) publish(client);
    if (++acked < count) return;
    printf("{\"ms\":%.3f,\"cpuMs\":%.3f}\n", now_ms() - start_ms, cpu_ms() - start_cpu_ms);
    mosquitto_disconnect(client);
}

int main(int argc, char **argv) {
    if (argc != 9) return 64;
    payload = argv[6];
    payload_bytes = strlen(payload);
    count = atoi(argv[7]);
    window = atoi(argv[8]);
    char id[32];
    snprintf(id, sizeof id, "bench-c-%d", (int)getpid());
    mosquitto_lib_init();
    struct mosquitto *client = mosquitto_new(id, true, NULL);
    if (client == NULL) return 1;
    check(mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5), "version");
    check(mosquitto_int_option(client, MOSQ_OPT_SEND_MAXIMUM, window), "window");
    check(mosquitto_tls_set(client, argv[2], NULL, argv[3], argv[4], NULL), "certificates");
    if (strcmp(argv[5], "none") != 0) {
        check(mosquitto_string_option(client, MOSQ_OPT_TLS_ALPN, argv[5]), "ALPN");
    }
    mosquitto_connect_callback_set(client, on_connect);
    mosquitto_publish_callback_set(client, on_publish);
    check(mosquitto_connect(client, "localhost", atoi(argv[1]), 60), "connect");
    check(mosquitto_loop_forever(client, 1000, 1), "loop");
    return acked == count ? 0 : 1;
}
