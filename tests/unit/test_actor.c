/* Mailbox and actor: every message arrives once, in its sender's order, also when the receiver
 * sleeps between; stop leaves nothing behind. */
#include "core/actor.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "unit.h"
#include <sched.h>
#include <unistd.h>

#define SENDERS  4
#define MESSAGES 20000

struct note {
    struct msg msg;
    unsigned sender, number;
};

struct sink {
    struct actor actor;
    unsigned next[SENDERS], total;
    bool wrong;
};

static void start(void *self)
{
    (void)self;
}

static void receive(void *self, struct msg *m)
{
    struct sink *s = self;
    struct note *n = container_of_(m, struct note, msg);
    s->wrong |= s->next[n->sender]++ != n->number;
    __atomic_fetch_add(&s->total, 1, __ATOMIC_RELEASE);
    mem_free(n);
}

static void drop(struct msg *m)
{
    mem_free(m);
}

static const struct actor_ops ops = {
    .name = "sink", .start = start, .receive = receive, .stop = start, .drop = drop};

struct source {
    struct sink *to;
    unsigned id;
};

static void *send_all(void *arg)
{
    struct source *src = arg;
    unsigned seed = src->id;
    rcu_thread_register();
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct note *n = MEM_NEW(struct note);
        n->sender = src->id;
        n->number = i;
        actor_send(&src->to->actor, &n->msg);
        if (rand_r(&seed) % 50 == 0)
            sched_yield(); /* lets the receiver fall asleep now and then */
    }
    rcu_thread_unregister();
    return NULL;
}

START_TEST(every_message_once_in_order)
{
    struct error e;
    struct sink *s = MEM_NEW(struct sink);
    struct source sources[SENDERS];
    pthread_t threads[SENDERS];
    rcu_start();
    actor_init(&s->actor, &ops, s);
    ck_assert(actor_start(&s->actor, &e));
    for (unsigned i = 0; i < SENDERS; i++) {
        sources[i] = (struct source){s, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, send_all, &sources[i]), 0);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    time_t end = time(NULL) + 30;
    while (__atomic_load_n(&s->total, __ATOMIC_ACQUIRE) < SENDERS * MESSAGES && time(NULL) < end)
        sched_yield();
    actor_stop(&s->actor);
    actor_join(&s->actor);
    ck_assert_uint_eq(s->total, SENDERS * MESSAGES);
    ck_assert(!s->wrong);
    struct note *late = MEM_NEW(struct note);
    actor_send(&s->actor, &late->msg); /* unread: dropped by actor_fini */
    actor_fini(&s->actor);
    mem_free(s);
    rcu_stop();
}
END_TEST

static unsigned prepared;

static void slow_start(void *self)
{
    (void)self;
    usleep(20000);
    __atomic_store_n(&prepared, 1, __ATOMIC_RELEASE);
}

/* A client that found the port open was told "starting": its node's writer hadn't come that far. */
START_TEST(what_was_started_has_started)
{
    struct actor_ops slow = ops;
    slow.start = slow_start;
    struct error e;
    struct sink *s = MEM_NEW(struct sink);
    rcu_start();
    actor_init(&s->actor, &slow, s);
    ck_assert(actor_start(&s->actor, &e));
    ck_assert_uint_eq(__atomic_load_n(&prepared, __ATOMIC_ACQUIRE), 1);
    actor_stop(&s->actor);
    actor_join(&s->actor);
    actor_fini(&s->actor);
    mem_free(s);
    rcu_stop();
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_set_timeout(c, 60);
    tcase_add_test(c, every_message_once_in_order);
    tcase_add_test(c, what_was_started_has_started);
}

int main(void)
{
    return unit_main("actor", add_cases);
}
