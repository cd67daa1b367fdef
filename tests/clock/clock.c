/* Gives one program a clock of its own, for tests: what it reads, sets and slews is a few numbers in the file $TEST_CLOCK, which
 * the test reads as well. Loaded by LD_PRELOAD. Packets get no time stamps of the kernel, which knows the true time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

/* now = at + (monotonic - since) * rate, in seconds. `since` is written last and is 0 meanwhile. */
struct clock {
    volatile double since, at, rate;
    long frequency, tick;
};
static struct clock *own;

static double raw(clockid_t id) {
    struct timespec t;
    syscall(SYS_clock_gettime, id, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void need(void) {
    if (own)
        return;
    const char *path = getenv("TEST_CLOCK");
    int file = path ? open(path, O_RDWR) : -1;
    own = mmap(0, sizeof *own, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (own == MAP_FAILED)
        abort();
    if (!own->tick)
        own->tick = 10000;
}

static double now(void) {
    need();
    return own->at + (raw(CLOCK_MONOTONIC) - own->since) * own->rate;
}

static void set(double at, double rate) {
    own->since = 0;
    own->at = at;
    own->rate = rate;
    own->since = raw(CLOCK_MONOTONIC);
}

static struct timespec spec(double at) {
    struct timespec t = { .tv_sec = (time_t)at };
    t.tv_nsec = (long)((at - t.tv_sec) * 1e9);
    return t;
}

int clock_gettime(clockid_t id, struct timespec *t) {
    if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, id, t);
    *t = spec(now());
    return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    (void)zone;
    struct timespec s = spec(now());
    t->tv_sec = s.tv_sec;
    t->tv_usec = s.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *to) {
    time_t t = (time_t)now();
    if (to)
        *to = t;
    return t;
}

int settimeofday(const struct timeval *t, const struct timezone *zone) {
    (void)zone;
    need();
    if (t)
        set(t->tv_sec + t->tv_usec / 1e6, own->rate);
    return 0;
}

int clock_settime(clockid_t id, const struct timespec *t) {
    (void)id;
    need();
    set(t->tv_sec + t->tv_nsec / 1e9, own->rate);
    return 0;
}

int adjtimex(struct timex *x) {
    double at = now();
    if (x->modes & ADJ_SETOFFSET)
        at += x->time.tv_sec + x->time.tv_usec / (x->modes & ADJ_NANO ? 1e9 : 1e6);
    if (x->modes & ADJ_FREQUENCY)
        own->frequency = x->freq;
    if (x->modes & ADJ_TICK)
        own->tick = x->tick;
    if (x->modes & (ADJ_SETOFFSET | ADJ_FREQUENCY | ADJ_TICK))
        set(at, own->tick / 1e4 * (1 + own->frequency / 65536e6));
    x->freq = own->frequency;
    x->tick = own->tick;
    x->status = STA_UNSYNC;
    x->offset = x->maxerror = x->esterror = 0;
    x->tolerance = 32768000;
    return TIME_OK;
}

int clock_adjtime(clockid_t id, struct timex *x) {
    (void)id;
    return adjtimex(x);
}

int setsockopt(int file, int level, int name, const void *value, socklen_t length) {
    if (level == SOL_SOCKET && (name == SO_TIMESTAMP || name == SO_TIMESTAMPNS || name == SO_TIMESTAMPING)) {
        errno = ENOPROTOOPT;
        return -1;
    }
    return (int)syscall(SYS_setsockopt, file, level, name, value, length);
}
