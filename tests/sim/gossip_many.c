#include "gossip_many.h"
#include "core/mem.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What a process tells of one run: it begins (result.ms isn't set), or it is done. */
struct report {
    unsigned index;
    bool done;
    struct run_result result;
};

unsigned many_jobs(void)
{
    const char *given = getenv("SIM_JOBS");
    long n = given ? strtol(given, NULL, 10) : sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 64 ? 64 : (unsigned)n;
}

static void tell(int fd, const struct report *r)
{
    /* Below PIPE_BUF: whole, and never mixed with another's. */
    assert(sizeof *r <= 4096);
    if (write(fd, r, sizeof *r) != (ssize_t)sizeof *r)
        _exit(1);
}

static void work(run_fn *fn, struct run r, const struct many *m, unsigned job, unsigned jobs,
                 int fd, time_t end)
{
    for (unsigned i = job; i < m->n; i += jobs) {
        if (end && time(NULL) >= end)
            break;
        struct report report = {.index = i};
        tell(fd, &report);
        r.seed = m->seeds[i];
        report.result = fn(&r);
        report.done = true;
        tell(fd, &report);
    }
}

static void collect(struct many *m, int fd)
{
    struct report r;
    bool *begun = mem_calloc(m->n, sizeof *begun), *done = mem_calloc(m->n, sizeof *done);
    for (;;) {
        ssize_t n = read(fd, &r, sizeof r);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != (ssize_t)sizeof r)
            break;
        begun[r.index] = true;
        if (r.done) {
            done[r.index] = true;
            m->results[r.index] = r.result;
        }
    }
    unsigned out = 0;
    for (unsigned i = 0; i < m->n; i++) {
        if (!begun[i])
            continue;
        if (!done[i]) {
            printf("seed %lu: the process died\n", (unsigned long)m->seeds[i]);
            m->results[i] = (struct run_result){.ms = RUN_NEVER, .first = RUN_NEVER};
        }
        m->results[out] = m->results[i];
        m->seeds[out++] = m->seeds[i];
    }
    m->done = out;
    mem_free(begun);
    mem_free(done);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void sort_times(struct many *m)
{
    for (unsigned i = 0; i < m->done; i++) {
        m->sorted[i] = m->results[i].ms;
        m->firsts[i] = m->results[i].first;
    }
    qsort(m->sorted, m->done, sizeof *m->sorted, by_value);
    qsort(m->firsts, m->done, sizeof *m->firsts, by_value);
}

struct many many_run(run_fn *fn, struct run r, unsigned seeds, uint64_t base, unsigned seconds)
{
    struct many m = {.n = seeds};
    m.results = mem_calloc(seeds, sizeof *m.results);
    m.seeds = mem_calloc(seeds, sizeof *m.seeds);
    m.sorted = mem_calloc(seeds, sizeof *m.sorted);
    m.firsts = mem_calloc(seeds, sizeof *m.firsts);
    for (unsigned i = 0; i < seeds; i++)
        m.seeds[i] = base + i;
    time_t end = seconds ? time(NULL) + (time_t)seconds : 0;
    unsigned jobs = many_jobs();
    int fds[2];
    if (pipe(fds) != 0)
        abort();
    fflush(stdout);
    for (unsigned job = 0; job < jobs; job++) {
        pid_t pid = fork();
        if (pid < 0)
            abort();
        if (pid == 0) {
            close(fds[0]);
            work(fn, r, &m, job, jobs, fds[1], end);
            fflush(stdout);
            _exit(0);
        }
    }
    close(fds[1]);
    collect(&m, fds[0]);
    close(fds[0]);
    while (wait(NULL) > 0 || errno == EINTR) {
    }
    sort_times(&m);
    return m;
}

void many_free(struct many *m)
{
    mem_free(m->results);
    mem_free(m->seeds);
    mem_free(m->sorted);
    mem_free(m->firsts);
}

static uint64_t quantile(const uint64_t *sorted, unsigned n, double part)
{
    if (!n)
        return RUN_NEVER;
    unsigned rank = (unsigned)((double)n * part + 0.999999);
    return sorted[rank ? rank - 1 : 0];
}

uint64_t many_quantile(const struct many *m, double part)
{
    return quantile(m->sorted, m->done, part);
}

uint64_t many_first(const struct many *m, double part)
{
    return quantile(m->firsts, m->done, part);
}

struct gossip_figures many_figures(const struct many *m)
{
    struct gossip_figures sum = {0};
    for (unsigned i = 0; i < m->done; i++) {
        const struct gossip_figures *f = &m->results[i].figures;
        sum.messages += f->messages;
        sum.bytes += f->bytes;
        sum.largest = f->largest > sum.largest ? f->largest : sum.largest;
        sum.false_deaths += f->false_deaths;
        sum.woken_deaths += f->woken_deaths;
        sum.paused_deaths += f->paused_deaths;
        sum.refused += f->refused;
        sum.taken += f->taken;
        sum.twice += f->twice;
    }
    return sum;
}
