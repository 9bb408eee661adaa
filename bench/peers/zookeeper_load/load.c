/* Load generator for ZooKeeper: sets through ZooKeeper's own C client, asynchronous, in a closed loop.
 *
 * Speaks the protocol of all load generators here (bench/generator.py): options on the command line, JSON lines on
 * stdout: "began" when the measured window opens, "ended" when it closes, and one "result".
 * Each operation's completion starts the next one, so no thread ever waits for an answer: this is the client's best.
 */
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#define SUB_BUCKETS 2048 /* per two powers of two, as HdrHistogram does with three digits */
#define BUCKET_COUNT (SUB_BUCKETS * 24)
#define TIMELINE_STEP_NS 10000000LL
#define PARENT "/bench"

static struct {
    const char *endpoints;
    int connections, outstanding, value_bytes, keys;
    double warmup_s, seconds, deadline_s;
    int is_timeline;
} plan = {"", 16, 256, 175, 1000, 1.0, 6.0, 5.0, 0};

static struct {
    atomic_int is_open;
    int64_t began_ns;
    atomic_llong acks, errors, last_ack_ns;
    int64_t longest_ns, longest_from_ns;
    pthread_mutex_t gap_lock;
    atomic_llong latencies[BUCKET_COUNT];
    atomic_llong *timeline;
    int64_t timeline_length;
} window = {.gap_lock = PTHREAD_MUTEX_INITIALIZER};

typedef struct {
    zhandle_t *handle;
    atomic_int is_connected;
} connection_t;

typedef struct {
    connection_t *connection;
    int64_t started_ns;
    unsigned seed;
} caller_t;

static char *value;

static int64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void sleep_s(double seconds) {
    struct timespec length = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&length, NULL);
}

static void fail(const char *what, int code) {
    fprintf(stderr, "zookeeper_load: %s: %s\n", what, zerror(code));
    exit(3);
}

/* --- what is recorded ----------------------------------------------------------------------------------- */

static int bucket_of(int64_t us) {
    int shift = 64 - __builtin_clzll((uint64_t)us | (SUB_BUCKETS - 1)) - 11;
    int64_t index = (int64_t)shift * SUB_BUCKETS / 2 + (us >> shift);
    return index < BUCKET_COUNT ? (int)index : BUCKET_COUNT - 1;
}

static int64_t lowest_of(int index) {
    if (index < SUB_BUCKETS) return index;
    int shift = index / (SUB_BUCKETS / 2) - 1;
    return (int64_t)(index - shift * SUB_BUCKETS / 2) << shift;
}

/* The longest time in which nobody was answered. */
static void note_gap(int64_t at_ns) {
    int64_t previous = atomic_exchange(&window.last_ack_ns, at_ns);
    if (at_ns - previous <= window.longest_ns) return;
    pthread_mutex_lock(&window.gap_lock);
    if (at_ns - previous > window.longest_ns) {
        window.longest_ns = at_ns - previous;
        window.longest_from_ns = previous;
    }
    pthread_mutex_unlock(&window.gap_lock);
}

static void acknowledged(int64_t started_ns) {
    int64_t ended_ns = now_ns();
    if (!atomic_load(&window.is_open)) return;
    atomic_fetch_add(&window.acks, 1);
    atomic_fetch_add(&window.latencies[bucket_of((ended_ns - started_ns) / 1000)], 1);
    int64_t step = (ended_ns - window.began_ns) / TIMELINE_STEP_NS;
    if (step >= 0 && step < window.timeline_length) atomic_fetch_add(&window.timeline[step], 1);
    note_gap(ended_ns - window.began_ns);
}

/* --- the closed loop ------------------------------------------------------------------------------------ */

static void start_operation(caller_t *caller);

static void completed(int code, const struct Stat *stat, const void *data) {
    (void)stat;
    caller_t *caller = (caller_t *)data;
    if (code == ZOK) {
        acknowledged(caller->started_ns);
    } else {
        if (atomic_load(&window.is_open)) atomic_fetch_add(&window.errors, 1);
        usleep(2000);
    }
    start_operation(caller);
}

static void start_operation(caller_t *caller) {
    char path[64];
    snprintf(path, sizeof path, PARENT "/key-%06d", rand_r(&caller->seed) % plan.keys);
    caller->started_ns = now_ns();
    int code = zoo_aset(caller->connection->handle, path, value, plan.value_bytes, -1, completed, caller);
    if (code != ZOK && atomic_load(&window.is_open)) atomic_fetch_add(&window.errors, 1);
}

/* --- connections ---------------------------------------------------------------------------------------- */

static void on_session_event(zhandle_t *handle, int type, int state, const char *path, void *context) {
    (void)handle, (void)path;
    if (type == ZOO_SESSION_EVENT) atomic_store(&((connection_t *)context)->is_connected, state == ZOO_CONNECTED_STATE);
}

/* The endpoints, beginning with number `first`, so that connections spread evenly over the servers. */
static char *rotated(int first) {
    char *copy = strdup(plan.endpoints), *parts[64], *rest = copy;
    int count = 0;
    while (count < 64 && (parts[count] = strsep(&rest, ",")) != NULL) count++;
    char *joined = calloc(1, strlen(plan.endpoints) + 2);
    for (int i = 0; i < count; i++) {
        if (i) strcat(joined, ",");
        strcat(joined, parts[(first + i) % count]);
    }
    free(copy);
    return joined;
}

static connection_t *connect_all(void) {
    connection_t *connections = calloc((size_t)plan.connections, sizeof *connections);
    zoo_set_debug_level(0);
    zoo_deterministic_conn_order(1);
    for (int i = 0; i < plan.connections; i++) {
        char *endpoints = rotated(i);
        connections[i].handle = zookeeper_init(endpoints, on_session_event, 4000, NULL, &connections[i], 0);
        if (connections[i].handle == NULL) fail(endpoints, ZSYSTEMERROR);
        free(endpoints);
    }
    int64_t deadline_ns = now_ns() + 10000000000LL;
    for (int i = 0; i < plan.connections; i++)
        while (!atomic_load(&connections[i].is_connected)) {
            if (now_ns() > deadline_ns) fail("no connection within 10 s", ZOPERATIONTIMEOUT);
            usleep(5000);
        }
    return connections;
}

static atomic_int keys_pending;

static void key_created(int code, const char *path, const void *data) {
    (void)path, (void)data;
    if (code != ZOK && code != ZNODEEXISTS) fail("creating a key", code);
    atomic_fetch_sub(&keys_pending, 1);
}

static void create_keys(zhandle_t *handle) {
    int code = zoo_create(handle, PARENT, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    if (code != ZOK && code != ZNODEEXISTS) fail("creating " PARENT, code);
    atomic_store(&keys_pending, plan.keys);
    for (int i = 0; i < plan.keys; i++) {
        char path[64];
        snprintf(path, sizeof path, PARENT "/key-%06d", i);
        code = zoo_acreate(handle, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, key_created, NULL);
        if (code != ZOK) fail("creating a key", code);
    }
    while (atomic_load(&keys_pending) > 0) usleep(1000);
}

/* --- the run -------------------------------------------------------------------------------------------- */

static void read_plan(int count, char **words) {
    static const struct option options[] = {
        {"endpoints", 1, 0, 'e'}, {"connections", 1, 0, 'c'}, {"outstanding", 1, 0, 'o'}, {"value-bytes", 1, 0, 'v'},
        {"keys", 1, 0, 'k'},      {"warmup-s", 1, 0, 'w'},    {"seconds", 1, 0, 's'},     {"deadline-s", 1, 0, 'd'},
        {"timeline", 0, 0, 't'},  {0, 0, 0, 0},
    };
    for (int option; (option = getopt_long(count, words, "", options, NULL)) != -1;) switch (option) {
            case 'e': plan.endpoints = optarg; break;
            case 'c': plan.connections = atoi(optarg); break;
            case 'o': plan.outstanding = atoi(optarg); break;
            case 'v': plan.value_bytes = atoi(optarg); break;
            case 'k': plan.keys = atoi(optarg); break;
            case 'w': plan.warmup_s = atof(optarg); break;
            case 's': plan.seconds = atof(optarg); break;
            case 'd': plan.deadline_s = atof(optarg); break; /* the client's session decides; accepted for uniformity */
            case 't': plan.is_timeline = 1; break;
            default: exit(2);
        }
}

static double measure(void) {
    sleep_s(plan.warmup_s);
    window.timeline_length = (int64_t)(plan.seconds * 1e9) / TIMELINE_STEP_NS + 1;
    window.timeline = calloc((size_t)window.timeline_length, sizeof *window.timeline);
    window.began_ns = now_ns();
    atomic_store(&window.is_open, 1);
    puts("{\"event\": \"began\"}");
    fflush(stdout);
    sleep_s(plan.seconds);
    atomic_store(&window.is_open, 0);
    int64_t length_ns = now_ns() - window.began_ns;
    puts("{\"event\": \"ended\"}");
    fflush(stdout);
    note_gap(length_ns);
    return (double)length_ns / 1e9;
}

static void print_result(double seconds) {
    printf("{\"event\": \"result\", \"operations\": %lld, \"errors\": %lld, \"seconds\": %.6f, ", atomic_load(&window.acks),
           atomic_load(&window.errors), seconds);
    printf("\"longest_gap_ms\": %.3f, \"longest_gap_from_s\": %.6f, \"latencies_us\": [",
           (double)window.longest_ns / 1e6, (double)window.longest_from_ns / 1e9);
    const char *separator = "";
    for (int i = 0; i < BUCKET_COUNT; i++) {
        long long times = atomic_load(&window.latencies[i]);
        if (times == 0) continue;
        printf("%s[%lld, %lld]", separator, (long long)lowest_of(i), times);
        separator = ", ";
    }
    printf("]");
    if (plan.is_timeline) {
        printf(", \"answers_per_10_ms\": [");
        for (int64_t i = 0; i < window.timeline_length; i++)
            printf("%s%lld", i ? ", " : "", atomic_load(&window.timeline[i]));
        printf("]");
    }
    puts("}");
    fflush(stdout);
}

int main(int count, char **words) {
    read_plan(count, words);
    value = malloc((size_t)plan.value_bytes);
    memset(value, 'v', (size_t)plan.value_bytes);
    connection_t *connections = connect_all();
    create_keys(connections[0].handle);
    caller_t *callers = calloc((size_t)plan.outstanding, sizeof *callers);
    for (int i = 0; i < plan.outstanding; i++) {
        callers[i].connection = &connections[i % plan.connections];
        callers[i].seed = (unsigned)i + 1;
        start_operation(&callers[i]);
    }
    print_result(measure());
    _exit(0); /* closing sessions would only wait for operations nobody counts */
}
