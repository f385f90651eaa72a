#include "tape.h"
#include "core/mem.h"
#include "proto/gossip.pb-c.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct call {
    Gossip *message; /* one of the two, or neither: a tick */
    char *address;
    uint64_t now_ms, wall_ms;
};

struct tape {
    struct swim *core;
    struct call *calls;
    size_t n, cap;
    uint64_t sent, sends;
};

static void on_send(void *arg, const char *address, const Gossip *m)
{
    struct tape *t = arg;
    (void)address;
    (void)m;
    t->sends++;
}

static void on_event(void *arg, const struct swim_event *e)
{
    (void)arg;
    (void)e;
}

struct tape *tape_new(const struct swim *model, const struct swim_options *o,
                      const struct swim_self *self, uint64_t now_ms)
{
    struct tape *t = MEM_NEW(struct tape);
    struct swim_sink sink = {on_send, on_event, t};
    t->core = swim_new_like(model, o, self, &sink, now_ms);
    return t;
}

void tape_free(struct tape *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++) {
        if (t->calls[i].message)
            gossip__free_unpacked(t->calls[i].message, NULL);
        mem_free(t->calls[i].address);
    }
    mem_free(t->calls);
    swim_free(t->core);
    mem_free(t);
}

static struct call *add(struct tape *t, uint64_t now_ms)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 256;
        t->calls = mem_realloc(t->calls, t->cap * sizeof *t->calls);
    }
    t->calls[t->n] = (struct call){.now_ms = now_ms};
    return &t->calls[t->n++];
}

void tape_add_tick(struct tape *t, uint64_t now_ms)
{
    add(t, now_ms);
}

void tape_add_contact(struct tape *t, const char *address, uint64_t now_ms)
{
    add(t, now_ms)->address = mem_strdup(address);
}

void tape_add_message(struct tape *t, const void *bytes, size_t size, uint64_t now_ms,
                      uint64_t wall_ms)
{
    struct call *c = add(t, now_ms);
    c->message = gossip__unpack(NULL, size, bytes);
    c->wall_ms = wall_ms;
}

void tape_add_sent(struct tape *t)
{
    t->sent++;
}

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double tape_play(struct tape *t)
{
    double since = cpu_ns();
    for (size_t i = 0; i < t->n; i++) {
        const struct call *c = &t->calls[i];
        if (c->message)
            swim_receive(t->core, c->message, c->now_ms, c->wall_ms);
        else if (c->address)
            swim_contact(t->core, c->address, c->now_ms);
        else
            swim_tick(t->core, c->now_ms);
    }
    double took = cpu_ns() - since;
    if (t->sends != t->sent) {
        fprintf(stderr, "a core that was told the same sent %lu messages, not %lu\n",
                (unsigned long)t->sends, (unsigned long)t->sent);
        abort();
    }
    return took;
}
