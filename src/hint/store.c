/* All peers of a store: the table of them, opening a directory of logs, and what is done to each.
 */
#include "core/datadir.h"
#include "core/mem.h"
#include "hint/segment.h"
#include "hint/store_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define NAME_MAX_BYTES 200

/* ---- the table: open addressing, at most half full, never changed once it is published ---------
 */

struct peer_table {
    struct rcu_head rcu;
    struct hint_figures past; /* of peers that were removed */
    unsigned n, mask;
    struct hint_peer *slot[];
};

static uint64_t hash(const char *name)
{
    return XXH3_64bits(name, strlen(name));
}

static struct hint_peer *look_up(const struct peer_table *t, const char *name)
{
    for (uint64_t i = hash(name);; i++) {
        struct hint_peer *p = t->slot[i & t->mask];
        if (!p || strcmp(RCU_GET(p->name)->text, name) == 0)
            return p;
    }
}

static void insert(struct peer_table *t, struct hint_peer *p)
{
    uint64_t i = hash(p->name->text);
    while (t->slot[i & t->mask])
        i++;
    t->slot[i & t->mask] = p;
    t->n++;
}

/* A table with what `old` has, but for `without`, and room for one more. */
static struct peer_table *copy_table(const struct peer_table *old, const struct hint_peer *without)
{
    unsigned size = 16;
    while (size < 2 * ((old ? old->n : 0) + 1))
        size *= 2;
    struct peer_table *t = mem_calloc(1, sizeof *t + size * sizeof(struct hint_peer *));
    t->mask = size - 1;
    if (!old)
        return t;
    t->past = old->past;
    for (unsigned i = 0; i <= old->mask; i++)
        if (old->slot[i] && old->slot[i] != without)
            insert(t, old->slot[i]);
    return t;
}

static void free_table(struct rcu_head *head)
{
    mem_free(container_of_(head, struct peer_table, rcu));
}

static void publish(struct hint_store *s, struct peer_table *fresh)
{
    struct peer_table *old = RCU_SWAP(s->table, fresh);
    if (old)
        rcu_defer(&old->rcu, free_table);
}

static void add_peer(struct hint_store *s, struct hint_peer *p)
{
    struct peer_table *t = copy_table(s->table, NULL);
    uint64_t found = hint_log_appended(p->log).bytes;
    insert(t, p);
    shares_join(&s->shares, &p->share);
    if (found) {
        share_force(&s->shares, &p->share, found);
        share_charge(&p->share, found);
    }
    publish(s, t);
}

struct hint_peer *hint_store_find(struct hint_store *s, const char *name)
{
    rcu_read_begin();
    struct hint_peer *p = look_up(RCU_GET(s->table), name);
    rcu_read_end();
    return p;
}

static void each(const struct peer_table *t, bool (*fn)(struct hint_peer *p, void *arg), void *arg)
{
    for (unsigned i = 0; i <= t->mask; i++)
        if (t->slot[i] && !fn(t->slot[i], arg))
            break;
}

void hint_store_each(struct hint_store *s, bool (*fn)(struct hint_peer *p, void *arg), void *arg)
{
    rcu_read_begin();
    each(RCU_GET(s->table), fn, arg);
    rcu_read_end();
}

/* ---- opening ----------------------------------------------------------------------------------
 */

/* A log that owes nothing and has nothing to tell is opened when somebody names its peer. */
static bool tells_something(const struct hint_log_report *r)
{
    return r->records || r->damaged || r->missing || r->torn_bytes;
}

static bool open_found(struct hint_store *s, const char *name, struct error *e)
{
    char *dir = peer_dir(s, name);
    bool is_log = hint_log_exists(dir);
    mem_free(dir);
    if (!is_log)
        return true;
    struct hint_peer *p = peer_open(s, name, NULL, e);
    if (!p)
        return false;
    if (tells_something(&p->report))
        add_peer(s, p);
    else
        peer_close(p);
    return true;
}

static bool is_peer_name(const char *name)
{
    size_t n = strlen(name);
    return n && n <= NAME_MAX_BYTES && name[0] != '.' && !strchr(name, '/');
}

static bool replay(struct hint_store *s, struct error *e)
{
    if (!dir_make(s->dir, e))
        return false;
    DIR *d = opendir(s->dir);
    if (!d)
        return error_set(e, "%s: %s", s->dir, strerror(errno));
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(d));)
        if (is_peer_name(entry->d_name) && entry->d_type != DT_REG)
            ok = open_found(s, entry->d_name, e);
    closedir(d);
    return ok;
}

static void free_store(struct hint_store *s)
{
    for (unsigned i = 0; i <= s->table->mask; i++)
        if (s->table->slot[i])
            peer_close(s->table->slot[i]);
    rcu_defer(&s->table->rcu, free_table);
    shares_fini(&s->shares);
    lock_fini(&s->list);
    mem_free(s->dir);
    mem_free(s);
}

struct hint_store *hint_store_open(const struct hint_store_options *o, struct error *e)
{
    struct hint_store *s = MEM_NEW_ALIGNED(struct hint_store);
    s->o = *o;
    s->o.dir = s->dir = o->dir ? mem_strdup(o->dir) : NULL;
    s->record_max =
        o->record_max && o->record_max < FRAME_PAYLOAD_MAX ? o->record_max : FRAME_PAYLOAD_MAX;
    s->cap = o->cap;
    s->cap_peer = o->cap_peer;
    s->table = copy_table(NULL, NULL);
    lock_init(&s->list);
    shares_init(&s->shares, o->cap);
    if (!s->dir || replay(s, e))
        return s;
    free_store(s);
    return NULL;
}

bool hint_store_close(struct hint_store *s, struct error *e)
{
    if (!s)
        return true;
    bool ok = hint_store_sync(s, e);
    free_store(s);
    return ok;
}

void hint_store_set_caps(struct hint_store *s, uint64_t cap, uint64_t cap_peer)
{
    PUT(s->cap, cap);
    PUT(s->cap_peer, cap_peer);
    shares_set_cap(&s->shares, cap);
}

/* ---- peers ------------------------------------------------------------------------------------
 */

static bool check_header(struct hint_peer *p, const char *header, struct error *e)
{
    char cut[SEGMENT_PEER];
    snprintf(cut, sizeof cut, "%s", header ? header : "");
    if (!header || strcmp(hint_peer_header(p), cut) == 0)
        return true;
    return peer_reopen(p, header, e);
}

static struct hint_peer *make_peer(struct hint_store *s, const char *name, const char *header,
                                   struct error *e)
{
    if (!is_peer_name(name)) {
        error_set(e, "peer '%.*s': allowed are 1 to %d bytes without '/', the first no dot",
                  NAME_MAX_BYTES, name, NAME_MAX_BYTES);
        return NULL;
    }
    struct hint_peer *p = peer_open(s, name, header, e);
    if (p)
        add_peer(s, p);
    return p;
}

struct hint_peer *hint_store_peer(struct hint_store *s, const char *name, const char *header,
                                  struct error *e)
{
    lock_take(&s->list);
    struct hint_peer *p = look_up(s->table, name);
    if (!p)
        p = make_peer(s, name, header, e);
    else if (!check_header(p, header, e))
        p = NULL;
    lock_give(&s->list);
    return p;
}

static bool sync_directory(const char *dir, struct error *e)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        error_set(e, "%s: %s", dir, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool move_directory(struct hint_peer *p, const char *name, struct error *e)
{
    struct hint_store *s = p->store;
    if (!s->dir)
        return true;
    char *from = peer_dir(s, p->name->text), *to = peer_dir(s, name);
    bool ok = rename(from, to) == 0 ||
              error_set(e, "%s: can't be renamed to %s: %s", from, name, strerror(errno));
    if (ok && !sync_directory(s->dir, e)) {
        (void)rename(to, from); /* it keeps the name under which it is listed */
        ok = false;
    }
    if (ok)
        hint_log_renamed(p->log, to);
    mem_free(from);
    mem_free(to);
    return ok;
}

static bool rename_listed(struct hint_peer *p, const char *name, struct error *e)
{
    struct hint_store *s = p->store;
    if (!is_peer_name(name) || look_up(s->table, name))
        return error_set(e, "peer %s: can't be named %.*s: it is taken, or no name", p->name->text,
                         NAME_MAX_BYTES, name);
    if (!move_directory(p, name, e))
        return false;
    /* who looks for either name meanwhile finds nothing, and who counts all finds it */
    struct peer_table *t = copy_table(s->table, p);
    struct peer_name *old = RCU_SWAP(p->name, peer_name_new(name));
    rcu_defer(&old->rcu, peer_name_free);
    insert(t, p);
    publish(s, t);
    return true;
}

bool hint_peer_rename(struct hint_peer *p, const char *name, struct error *e)
{
    lock_take(&p->store->list);
    bool ok = rename_listed(p, name, e);
    lock_give(&p->store->list);
    return ok;
}

static void add_figures(struct hint_figures *sum, const struct hint_figures *f)
{
    if (f->oldest_ms && (!sum->oldest_ms || f->oldest_ms < sum->oldest_ms))
        sum->oldest_ms = f->oldest_ms;
    sum->pending += f->pending;
    sum->bytes += f->bytes;
    sum->behind += f->behind;
    sum->stored += f->stored;
    sum->converted += f->converted;
    sum->delivered += f->delivered;
    sum->expired += f->expired;
    sum->dropped += f->dropped;
    sum->lost += f->lost;
    sum->damaged += f->damaged;
    sum->syncs += f->syncs;
    for (unsigned i = 0; i < HINT_PUT_RESULTS; i++)
        sum->rejected[i] += f->rejected[i];
}

/* What isn't a segment stays, and so does the directory then. */
static void remove_directory(const struct hint_store *s, const char *name)
{
    char *path = peer_dir(s, name);
    if (path) {
        hint_log_remove_files(path);
        (void)rmdir(path);
    }
    mem_free(path);
}

static bool remove_listed(struct hint_peer *p, struct error *e)
{
    struct hint_store *s = p->store;
    struct hint_figures f;
    hint_peer_figures(p, &f);
    if (f.behind || f.pending)
        return error_set(e, "peer %s: holds %" PRIu64 " hints, %" PRIu64 " bytes", p->name->text,
                         f.pending, f.behind);
    struct peer_table *t = copy_table(s->table, p);
    add_figures(&t->past, &f);
    publish(s, t);
    shares_leave(&s->shares, &p->share);
    remove_directory(s, p->name->text);
    peer_close(p);
    return true;
}

bool hint_peer_remove(struct hint_peer *p, struct error *e)
{
    struct hint_store *s = p->store;
    lock_take(&s->list);
    bool ok = remove_listed(p, e);
    lock_give(&s->list);
    return ok;
}

/* ---- all of them ------------------------------------------------------------------------------
 */

/* One after the other, while none is added or removed; fn may sleep. */
static void walk(struct hint_store *s, void (*fn)(struct hint_peer *p, void *arg), void *arg)
{
    lock_take(&s->list);
    for (unsigned i = 0; i <= s->table->mask; i++)
        if (s->table->slot[i])
            fn(s->table->slot[i], arg);
    lock_give(&s->list);
}

struct expiry {
    uint64_t now_ms, n;
};

static void expire_one(struct hint_peer *p, void *arg)
{
    struct expiry *x = arg;
    hint_peer_hold(p);
    x->n += hint_peer_expire(p, x->now_ms);
    hint_peer_release(p);
}

uint64_t hint_store_expire(struct hint_store *s, uint64_t now_ms)
{
    struct expiry x = {.now_ms = now_ms};
    walk(s, expire_one, &x);
    return x.n;
}

struct flush {
    struct error *e;
    bool failed;
};

static void sync_one(struct hint_peer *p, void *arg)
{
    struct flush *f = arg;
    struct error e;
    uint64_t synced;
    if (peer_sync(p, &synced, &e) || f->failed)
        return;
    f->failed = true;
    if (f->e)
        *f->e = e;
}

bool hint_store_sync(struct hint_store *s, struct error *e)
{
    struct flush f = {.e = e};
    walk(s, sync_one, &f);
    return !f.failed;
}

static bool add_one(struct hint_peer *p, void *arg)
{
    struct hint_totals *t = arg;
    struct hint_figures f;
    hint_peer_figures(p, &f);
    add_figures(&t->sum, &f);
    t->peers++;
    t->peers_with_hints += f.pending > 0;
    return true;
}

void hint_store_totals(struct hint_store *s, struct hint_totals *t)
{
    *t = (struct hint_totals){.cap = GET(s->cap), .cap_peer = GET(s->cap_peer)};
    rcu_read_begin();
    const struct peer_table *all = RCU_GET(s->table); /* one removed meanwhile is in it, or past */
    t->sum = all->past;
    each(all, add_one, t);
    rcu_read_end();
}
