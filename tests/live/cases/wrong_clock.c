/* Preloaded into a process, it has a wrong clock: ahead by VEDETTE_CLOCK_AHEAD seconds, behind when negative. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

static long ahead(void) {
    const char *text = getenv("VEDETTE_CLOCK_AHEAD");
    return text ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += ahead();
    return done;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int done = real(now, zone);
    now->tv_sec += ahead();
    return done;
}

time_t time(time_t *now) {
    time_t (*real)(time_t *) = dlsym(RTLD_NEXT, "time");
    time_t seconds = real(NULL) + ahead();
    if (now) *now = seconds;
    return seconds;
}

/* Whoever waits until a time by the wrong clock waits as long as was meant. */
int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
    int (*real)(cnd_t *, mtx_t *, const struct timespec *) = dlsym(RTLD_NEXT, "cnd_timedwait");
    struct timespec right = *until;
    right.tv_sec -= ahead();
    return real(condition, mutex, &right);
}
