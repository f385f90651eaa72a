#include "peer/orphans.h"
#include "core/clock.h"
#include "core/datadir.h"
#include "core/log.h"
#include "core/mem.h"
#include "hint/mark.h"
#include "peer/keep.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static char *file_in(const char *dir, const char *name)
{
    return mem_printf("%s/%s", dir, name);
}

/* ---- whose log it is
 * --------------------------------------------------------------------------------------------- */

/* A log lies under the id of its node, or under its place until it was met. */
static int node_of(const struct topology *t, const char *name)
{
    int found = topology_find_id(t, name);
    for (unsigned i = 0; found < 0 && i < t->n; i++) {
        char place[NODE_ID_SIZE];
        keep_new_name(&t->nodes[i], place);
        if (strcmp(place, name) == 0)
            found = (int)i;
    }
    return found;
}

static struct topology *load_ring(const char *path)
{
    struct topology *t;
    struct error e;
    if (!keep_load_ring(path, &t, &e))
        log_warn("%s", e.text);
    return t;
}

/* The last start's ring, and in it the nodes that were orphans then: what lies here may lie in
 * their logs too, and it has to be clear for each log who is in charge of an heir (ring/heirs.h).
 */
static struct topology *last_ring(const struct topology *last, const struct orphans *older)
{
    struct error ignored;
    unsigned n = last->n;
    struct ring_node *nodes = mem_calloc(last->n + older->n, sizeof *nodes);
    memcpy(nodes, last->nodes, last->n * sizeof *nodes);
    for (unsigned i = 0; i < older->n; i++)
        if (older->at[i].then && node_of(last, older->at[i].name) < 0)
            nodes[n++] = older->at[i].node;
    struct topology *t = topology_new(nodes, n, 0, &ignored);
    if (!t) /* one of their tokens is another node's now */
        t = topology_new(last->nodes, last->n, 0, &ignored);
    mem_free(nodes);
    return t;
}

/* The ring that this log's hints were made in: its own file, or, at the first start that doesn't
 * name its node any more, the last start's, which becomes its own. */
static struct topology *ring_of(const char *dir, const char *name, const struct topology *last,
                                const struct orphans *older)
{
    char *path = file_in(dir, "ring");
    struct topology *t = load_ring(path);
    struct error e;
    if (!t && last && node_of(last, name) >= 0) {
        t = last_ring(last, older);
        if (!t || !keep_ring(path, t, &e))
            log_error("%s", e.text);
    }
    mem_free(path);
    return t;
}

static void find_heirs(struct orphan *o, const struct topology *now, const struct topology *last,
                       const struct orphans *older)
{
    o->then = ring_of(o->dir, o->name, last, older);
    int node = o->then ? node_of(o->then, o->name) : -1;
    if (node >= 0) {
        o->node = o->then->nodes[node];
        o->heirs = heirs_new(o->then, (unsigned)node, now);
        return;
    }
    o->node = (struct ring_node){.address = o->name, .datacenter = "", .rack = ""};
    if (keep_is_id(o->name))
        snprintf(o->node.id, sizeof o->node.id, "%s", o->name);
}

/* ---- files
 * --------------------------------------------------------------------------------------------- */

void orphan_unlink_files(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *entry; (entry = readdir(d));)
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "needs-repair") != 0)
            unlinkat(dirfd(d), entry->d_name, 0);
    closedir(d);
}

/* What was left there when its node was an orphan before. */
static void forget_notes(const char *root, const char *name)
{
    static const char *const notes[] = {"ring", "handoff"};
    for (size_t i = 0; i < ARRAY_LEN(notes); i++) {
        char *path = mem_printf("%s/%s/%s", root, name, notes[i]);
        unlink(path);
        mem_free(path);
    }
}

static bool is_ours(const struct topology *now, const struct peers *peers, const char *name)
{
    for (unsigned i = 0; i < peers->n; i++)
        if (peers->at[i] && strcmp(peers->at[i]->log_name, name) == 0)
            return true;
    return strcmp(now->nodes[now->self].id, name) == 0;
}

static char **list_orphans(const char *root, const struct topology *now, const struct peers *peers,
                           unsigned *n)
{
    char **names = NULL;
    DIR *d = opendir(root);
    *n = 0;
    for (struct dirent *entry; d && (entry = readdir(d));) {
        char *path = file_in(root, entry->d_name);
        if (entry->d_name[0] != '.' && !is_ours(now, peers, entry->d_name) &&
            hint_log_exists(path)) {
            names = mem_realloc(names, (*n + 1) * sizeof *names);
            names[(*n)++] = mem_strdup(entry->d_name);
        }
        mem_free(path);
    }
    if (d)
        closedir(d);
    return names;
}

/* ---- opening
 * --------------------------------------------------------------------------------------------- */

static void free_orphan(struct orphan *o)
{
    orders_fini(&o->waits);
    heirs_free(o->heirs);
    topology_free(o->then);
    mem_free(o->name);
    mem_free(o->dir);
    mem_free(o->mark_dir);
}

static void tell_of(const struct orphan *o, const struct hint_log_report *r)
{
    log_warn("%s: %" PRIu64 " hints, %" PRIu64 " bytes, of a peer that isn't configured (%s%s%s); "
             "they are orphaned, and kept (dyn-admin hints handoff, hints truncate)",
             o->dir, r->records, r->bytes, o->then ? o->node.address : "whose place isn't known",
             o->then ? ", rack " : "", o->node.rack);
    if (r->damaged || r->torn_bytes || r->missing)
        log_warn("%s: %" PRIu64 " records damaged, %" PRIu64 " bytes torn, %" PRIu64
                 " segments missing: %s",
                 o->dir, r->damaged, r->torn_bytes, r->missing, r->detail);
}

/* One whose log holds nothing isn't kept. */
static bool open_orphan(struct orphan *o, struct hint_store *store, const struct topology *now,
                        const struct topology *last, const struct orphans *older, struct error *e)
{
    find_heirs(o, now, last, older);
    o->hints = hint_store_peer(store, o->name, NULL, e);
    if (!o->hints)
        return false;
    o->log = hint_peer_log(o->hints);
    const struct hint_log_report *r = hint_peer_report(o->hints);
    o->unreadable = r->missing;
    if (r->records == 0 && r->missing == 0) {
        orphan_unlink_files(o->dir);
        o->gone = 1;
        return hint_peer_remove(o->hints, e);
    }
    tell_of(o, r);
    return true;
}

/* Those that were orphans before this start: how many. */
static unsigned put_older_first(const char *root, char **names, unsigned n)
{
    unsigned older = 0;
    for (unsigned i = 0; i < n; i++) {
        char *path = mem_printf("%s/%s/ring", root, names[i]), *name = names[i];
        if (access(path, F_OK) == 0) {
            names[i] = names[older];
            names[older++] = name;
        }
        mem_free(path);
    }
    return older;
}

static bool open_all(struct orphans *all, struct hint_store *store, const char *root,
                     const struct topology *now, const struct peers *peers,
                     const struct topology *last, struct error *e)
{
    bool ok = true;
    unsigned n = 0;
    char **names = list_orphans(root, now, peers, &n);
    all->at = mem_calloc(n ? n : 1, sizeof *all->at);
    unsigned older = put_older_first(root, names, n);
    struct orphans before = {.at = all->at};
    for (unsigned i = 0; i < n; i++) {
        struct orphan *o = &all->at[all->n];
        *o = (struct orphan){.name = names[i], .dir = file_in(root, names[i])};
        before.n = i < older ? 0 : i == older ? all->n : before.n;
        ok = ok && open_orphan(o, store, now, last, &before, e);
        o->mark_dir = file_in(root, *o->node.id ? o->node.id : o->name);
        if (ok && !o->gone)
            all->n++;
        else
            free_orphan(o);
    }
    mem_free(names);
    return ok;
}

bool orphans_keep_ring(const char *root, const struct topology *now, struct error *e)
{
    char *path = file_in(root, "ring");
    bool ok = keep_ring(path, now, e);
    mem_free(path);
    return ok;
}

bool orphans_open(struct orphans *o, struct hint_store *store, const char *root,
                  const struct topology *now, const struct peers *peers, struct error *e)
{
    if (!root)
        return true;
    char *path = file_in(root, "ring");
    struct topology *last = load_ring(path);
    mem_free(path);
    for (unsigned i = 0; i < peers->n; i++)
        if (peers->at[i])
            forget_notes(root, peers->at[i]->log_name);
    bool ok = open_all(o, store, root, now, peers, last, e) && orphans_keep_ring(root, now, e);
    topology_free(last);
    return ok;
}

void orphans_close(struct orphans *o)
{
    for (unsigned i = 0; i < o->n; i++)
        free_orphan(&o->at[i]);
    mem_free(o->at);
}

/* ---- the writer
 * --------------------------------------------------------------------------------------------- */

void orphan_mark(const struct orphan *o, const char *reason)
{
    struct error e;
    if (!dir_make(o->mark_dir, &e))
        log_error("%s", e.text);
    struct hint_mark *m = hint_mark_open(o->mark_dir);
    if (!hint_mark_set(m, clock_wall_ms(), reason, &e))
        log_error("needs-repair mark of %s: %s", o->name, e.text);
    hint_mark_close(m);
}

void orphan_remove(struct orphan *o)
{
    orphan_unlink_files(o->dir);
    (void)rmdir(o->dir); /* unless its mark is there */
    __atomic_store_n(&o->gone, 1, __ATOMIC_RELEASE);
    struct error e;
    if (!hint_peer_remove(o->hints, &e))
        log_error("%s", e.text);
    log_notice("%s: nothing is left of the orphaned hints", o->dir);
}

void orphans_expire(struct orphans *all, uint64_t now_ms)
{
    for (unsigned i = 0; i < all->n; i++) {
        struct orphan *o = &all->at[i];
        if (orphan_is_gone(o))
            continue;
        static const char reason[] = "hints for it expired while it wasn't configured";
        if (hint_peer_expires(o->hints, now_ms, NULL)) /* on disk before they are gone */
            orphan_mark(o, reason);
        if (!hint_peer_expire(o->hints, now_ms))
            continue;
        orphan_mark(o, reason);
        if (orphan_hints(o).pending == 0 && !o->unreadable)
            orphan_remove(o);
    }
}

static bool has_name(const struct orphan *o, const struct ring_node *n)
{
    char place[NODE_ID_SIZE];
    keep_new_name(n, place);
    return strcmp(o->name, n->id) == 0 || strcmp(o->name, place) == 0;
}

static bool claim(struct orphan *o, const struct ring_node *n, struct error *e)
{
    char place[NODE_ID_SIZE];
    keep_new_name(n, place);
    if (strcmp(hint_peer_header(o->hints), place) != 0)
        return orphan_hints(o).pending == 0 ||
               error_set(e, "hints lie here that were made for it at another place");
    if (strcmp(o->name, n->id) != 0 && !hint_peer_rename(o->hints, n->id, e))
        return false;
    log_notice("%s: its node is in the ring again: it gets what lies there", o->dir);
    __atomic_store_n(&o->gone, 1, __ATOMIC_RELEASE);
    return true;
}

bool orphans_have(const struct orphans *all, const struct ring_node *n)
{
    for (unsigned i = 0; i < all->n; i++)
        if (!orphan_is_gone(&all->at[i]) && has_name(&all->at[i], n))
            return true;
    return false;
}

bool orphans_claim(struct orphans *all, const struct ring_node *n, struct error *e)
{
    for (unsigned i = 0; i < all->n; i++)
        if (!orphan_is_gone(&all->at[i]) && has_name(&all->at[i], n) && !claim(&all->at[i], n, e))
            return false;
    return true;
}

/* ---- figures
 * --------------------------------------------------------------------------------------------- */

struct peer_hints orphan_hints(const struct orphan *o)
{
    struct hint_figures f = {0};
    uint64_t now = clock_wall_ms();
    rcu_read_begin(); /* the writer may be about to remove it */
    if (!orphan_is_gone(o))
        hint_peer_figures(o->hints, &f);
    rcu_read_end();
    return (struct peer_hints){.pending = f.pending,
                               .bytes = f.bytes,
                               .oldest_ms =
                                   f.oldest_ms && now > f.oldest_ms ? now - f.oldest_ms : 0};
}

bool orphans_check(const struct orphans *all, const char *id, struct error *e)
{
    for (unsigned i = 0; all && i < all->n; i++) {
        const struct orphan *o = &all->at[i];
        uint64_t pending = orphan_hints(o).pending;
        if (pending && strcmp(o->node.id, id) == 0)
            return error_set(e,
                             "node id %s is known at datacenter %s, rack %s with other tokens, and "
                             "%" PRIu64 " hints for it are kept: hand them off or truncate them "
                             "(dyn-admin hints) first",
                             id, o->node.datacenter, o->node.rack, pending);
    }
    return true;
}

const struct orphan *orphans_find(const struct orphans *all, const char *text, unsigned *found)
{
    const struct orphan *last = NULL;
    size_t len = strlen(text);
    *found = 0;
    for (unsigned i = 0; all && len && i < all->n; i++) {
        const struct orphan *o = &all->at[i];
        bool exact = strcmp(o->name, text) == 0 || strcmp(o->node.id, text) == 0;
        if (orphan_is_gone(o) ||
            (!exact && strncmp(o->name, text, len) != 0 && strncmp(o->node.id, text, len) != 0 &&
             strcmp(o->node.address, text) != 0))
            continue;
        last = o;
        *found = exact ? 1 : *found + 1;
        if (exact)
            break;
    }
    return last;
}
