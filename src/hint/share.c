#include "hint/share.h"

#define NO_CAP (INT64_MAX / 4)
#define BATCH  (64 * 1024) /* taken from a pool with plenty, so that the next puts needn't come */
#define PLENTY 64          /* batches for each peer */

static int64_t load(const int64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void add(int64_t *p, int64_t n)
{
    (void)__atomic_fetch_add(p, n, __ATOMIC_ACQ_REL);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Takes n from the pool if at least `keep` is left there. */
static bool draw(struct shares *s, int64_t n, int64_t keep)
{
    int64_t pool = load(&s->pool);
    while (pool - n >= keep)
        if (__atomic_compare_exchange_n(&s->pool, &pool, pool - n, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return true;
    return false;
}

/* ---- all peers ------------------------------------------------------------------------------- */

static int64_t held(const struct share *p)
{
    uint64_t returned = __atomic_load_n(&p->returned, __ATOMIC_ACQUIRE);
    return (int64_t)(share_charged(p) - returned);
}

/* The room that makes up its part. A put or a delivery meanwhile makes this one record wrong: too
 * much room is taken back by the next pass, too little is filled up. */
static int64_t room_wanted(const struct shares *s, const struct share *p)
{
    return larger(s->part - held(p), 0);
}

static void take_back(struct shares *s, struct share *p)
{
    int64_t wanted = room_wanted(s, p), room = load(&p->room);
    while (room > wanted)
        if (__atomic_compare_exchange_n(&p->room, &room, wanted, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            add(&s->pool, room - wanted);
            return;
        }
}

/* Returns what its part still lacks. */
static int64_t fill_up(struct shares *s, struct share *p)
{
    int64_t lacks = larger(room_wanted(s, p) - larger(load(&p->room), 0), 0);
    int64_t given = larger(smaller(lacks, load(&s->pool)), 0);
    if (given == 0 || !draw(s, given, 0))
        return lacks;
    add(&p->room, given);
    return lacks - given;
}

/* More is held than the cap allows: nobody has room then, whatever its part. */
static void cover(struct shares *s, struct share *p)
{
    int64_t room = load(&p->room), n;
    while ((n = smaller(-load(&s->pool), room)) > 0)
        if (__atomic_compare_exchange_n(&p->room, &room, room - n, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            add(&s->pool, n);
            return;
        }
}

static void balance(struct shares *s)
{
    int64_t owed = 0;
    /* first: what is given back from here on is seen next time */
    __atomic_store_n(&s->slack, 0, __ATOMIC_SEQ_CST);
    for (struct share *p = s->first; p; p = p->next)
        take_back(s, p);
    for (struct share *p = s->first; p; p = p->next)
        cover(s, p);
    for (struct share *p = s->first; p; p = p->next)
        owed += fill_up(s, p);
    __atomic_store_n(&s->owed, owed, __ATOMIC_RELEASE);
}

static void balance_locked(struct shares *s)
{
    lock_take(&s->lock);
    balance(s);
    lock_give(&s->lock);
}

static void set_part(struct shares *s)
{
    s->part = s->cap / 2 / larger(s->n, 1);
    __atomic_store_n(&s->epoch, s->epoch + 1, __ATOMIC_RELEASE);
    balance(s);
}

static int64_t cap_of(uint64_t cap)
{
    return cap && cap < NO_CAP ? (int64_t)cap : NO_CAP;
}

void shares_init(struct shares *s, uint64_t cap)
{
    *s = (struct shares){.cap = cap_of(cap), .pool = cap_of(cap)};
    lock_init(&s->lock);
}

void shares_fini(struct shares *s)
{
    lock_fini(&s->lock);
}

void shares_set_cap(struct shares *s, uint64_t cap)
{
    lock_take(&s->lock);
    add(&s->pool, cap_of(cap) - s->cap);
    s->cap = cap_of(cap);
    set_part(s);
    lock_give(&s->lock);
}

void shares_join(struct shares *s, struct share *p)
{
    lock_take(&s->lock);
    p->next = s->first;
    s->first = p;
    __atomic_store_n(&s->n, s->n + 1, __ATOMIC_RELAXED);
    set_part(s);
    lock_give(&s->lock);
}

void shares_leave(struct shares *s, struct share *p)
{
    lock_take(&s->lock);
    struct share **at = &s->first;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    __atomic_store_n(&s->n, s->n - 1, __ATOMIC_RELAXED);
    add(&s->pool,
        __atomic_exchange_n(&p->room, 0, __ATOMIC_ACQ_REL) + held(p) + (int64_t)p->credit);
    set_part(s);
    lock_give(&s->lock);
}

static void mark_slack(struct shares *s)
{
    if (!__atomic_load_n(&s->slack, __ATOMIC_RELAXED))
        __atomic_store_n(&s->slack, 1, __ATOMIC_SEQ_CST);
}

/* ---- one peer's producer --------------------------------------------------------------------- */

/* n tokens from the room, which has `lacks` too few, and the pool. */
static bool draw_for_room(struct shares *s, struct share *p, int64_t lacks)
{
    if (!draw(s, lacks, load(&s->owed)))
        return false;
    add(&p->room, lacks);
    return true;
}

static bool take_from_room(struct shares *s, struct share *p, int64_t n)
{
    int64_t room = __atomic_sub_fetch(&p->room, n, __ATOMIC_ACQ_REL);
    if (room >= 0 || draw_for_room(s, p, -room))
        return true;
    if (__atomic_load_n(&s->slack, __ATOMIC_SEQ_CST)) {
        balance_locked(s);
        room = load(&p->room);
        if (room >= 0 || draw_for_room(s, p, -room))
            return true;
    }
    add(&p->room, n);
    return false;
}

/* s->n is read without the lock: it only tells how much plenty is. */
static bool has_plenty(const struct shares *s)
{
    int64_t n = __atomic_load_n(&s->n, __ATOMIC_RELAXED);
    return load(&s->pool) - load(&s->owed) > PLENTY * BATCH * n;
}

bool share_take_more(struct shares *s, struct share *p, uint64_t size)
{
    unsigned epoch = __atomic_load_n(&s->epoch, __ATOMIC_ACQUIRE);
    if (p->epoch != epoch) {
        add(&p->room, (int64_t)p->credit);
        p->credit = 0;
        p->epoch = epoch;
        balance_locked(s);
    }
    int64_t lacks = (int64_t)(size - p->credit);
    int64_t ahead = has_plenty(s) ? BATCH : 0;
    if (ahead && !take_from_room(s, p, lacks + ahead))
        ahead = 0;
    if (!ahead && !take_from_room(s, p, lacks))
        return false;
    p->credit = (uint64_t)ahead;
    return true;
}

void share_undo(struct shares *s, struct share *p, uint64_t size)
{
    add(&p->room, (int64_t)size);
    mark_slack(s);
}

void share_force(struct shares *s, struct share *p, uint64_t size)
{
    int64_t room = __atomic_sub_fetch(&p->room, (int64_t)size, __ATOMIC_ACQ_REL);
    if (room >= 0)
        return;
    add(&s->pool, room);
    add(&p->room, -room);
    if (load(&s->pool) < 0)
        balance_locked(s);
}

/* ---- one peer's consumer --------------------------------------------------------------------- */

void share_give_back(struct shares *s, struct share *p, uint64_t charged, uint64_t still_held)
{
    uint64_t counted = charged - p->returned;
    if (counted <= still_held)
        return;
    uint64_t n = counted - still_held;
    __atomic_store_n(&p->returned, p->returned + n, __ATOMIC_RELEASE);
    add(&p->room, (int64_t)n);
    mark_slack(s);
    if (load(&s->owed) > 0 || load(&s->pool) < 0)
        balance_locked(s);
}
