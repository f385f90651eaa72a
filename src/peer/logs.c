#include "peer/logs.h"
#include "core/clock.h"
#include "core/datadir.h"
#include "core/log.h"
#include "core/mem.h"
#include "hint/mark.h"
#include "peer/keep.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_SEGMENT (1024u * 1024) /* a batch, which is acknowledged as a whole, fits */

static char *hints_root(const struct config *c)
{
    if (strcmp(c->hint_dir, "memory") == 0 || !c->enable_hinted_handoff)
        return NULL;
    return *c->hint_dir ? mem_strdup(c->hint_dir) : mem_printf("%s/hints", c->data_dir);
}

static enum hint_sync_policy hints_sync(const struct config *c)
{
    static const enum hint_sync_policy of[] = {[SYNC_ALWAYS] = HINT_SYNC_ALWAYS,
                                               [SYNC_INTERVAL] = HINT_SYNC_INTERVAL,
                                               [SYNC_NEVER] = HINT_SYNC_NEVER};
    return of[c->hint_sync];
}

/* A kill between two steps of a replacement leaves the log under the id of the node that takes the
 * place, or has lost it again: the segments tell whose place it is. */
static char *find_log(const char *root, const char *place)
{
    char *found = NULL;
    DIR *d = opendir(root);
    for (struct dirent *entry; d && !found && (entry = readdir(d));) {
        char *path = mem_printf("%s/%s", root, entry->d_name);
        if (keep_is_id(entry->d_name) && hint_log_is_of(path, place))
            found = path;
        else
            mem_free(path);
    }
    if (d)
        closedir(d);
    return found;
}

/* The log of a peer that was met since the last start is brought under its id. What an orphan left
 * there, its mark, comes with it. */
static bool rename_log(const char *old, const char *dir, struct error *e)
{
    struct stat st;
    if (stat(old, &st) != 0 || hint_log_exists(dir))
        return true;
    char *mark = mem_printf("%s/needs-repair", dir), *to = mem_printf("%s/needs-repair", old);
    (void)rename(mark, to);
    mem_free(mark);
    mem_free(to);
    orphan_unlink_files(dir);
    (void)rmdir(dir);
    return rename(old, dir) == 0 || error_set(e, "%s: can't be renamed to %s", old, dir);
}

/* The id of a peer was forgotten (no file `peers`): its log still lies under it. */
static void adopt_log(const char *root, const char *place, struct peer *p, char **dir)
{
    char *found = hint_log_exists(*dir) ? NULL : find_log(root, place);
    if (!found)
        return;
    snprintf(p->log_name, NODE_ID_SIZE, "%s", strrchr(found, '/') + 1);
    mem_free(*dir);
    *dir = found;
}

/* A peer that was met has its log under its id; the log of one that wasn't is found under its
 * place. */
static bool name_log(const struct ring_node *n, const char *root, struct peer *p, char **dir,
                     struct error *e)
{
    char place[NODE_ID_SIZE];
    keep_new_name(n, place);
    p->log_name = mem_alloc(NODE_ID_SIZE);
    snprintf(p->log_name, NODE_ID_SIZE, "%s", n->id[0] ? n->id : place);
    if (!root)
        return true;
    *dir = mem_printf("%s/%s", root, p->log_name);
    if (!n->id[0]) {
        adopt_log(root, place, p, dir);
        return dir_make(*dir, e);
    }
    char *old = mem_printf("%s/%s", root, place);
    struct stat st;
    if (stat(*dir, &st) != 0 && stat(old, &st) != 0) {
        mem_free(old);
        old = find_log(root, place);
    }
    bool ok = !old || rename_log(old, *dir, e);
    mem_free(old);
    return ok && dir_make(*dir, e);
}

/* One that has left has an index, and no log under its id: that may be an orphan's, or another
 * peer's, if it came back. */
static void name_gone(const struct ring_node *n, const char *root, struct peer *p, char **dir)
{
    char place[NODE_ID_SIZE];
    keep_new_name(n, place);
    p->log_name = mem_printf("gone-%u-%s", p->node, place);
    *dir = root ? mem_printf("%s/%s", root, p->log_name) : NULL;
    p->gone = p->let_go = 1;
}

static struct peer *new_peer(struct logs *l, unsigned node)
{
    struct peer *p = MEM_NEW(struct peer);
    p->node = node;
    *(node == l->peers.self ? &l->peers.own : &l->peers.at[node]) = p;
    return p;
}

static bool name_peer(struct logs *l, unsigned node, const char *root, struct error *e)
{
    const struct ring_node *n = &l->topology->nodes[node];
    struct peer *p = new_peer(l, node);
    if (n->role != RING_GONE)
        return name_log(n, root, p, &l->dirs[node], e);
    name_gone(n, root, p, &l->dirs[node]);
    return true;
}

static void tell_of_log(const struct hint_log_report *r, const char *address)
{
    if (r->records)
        log_notice("log of %s: %" PRIu64 " records, %" PRIu64 " bytes found", address, r->records,
                   r->bytes);
    if (r->damaged || r->torn_bytes || r->missing)
        log_warn("log of %s: %" PRIu64 " records damaged, %" PRIu64 " bytes torn, %" PRIu64
                 " segments missing: %s",
                 address, r->damaged, r->torn_bytes, r->missing, r->detail);
}

static bool open_log(struct logs *l, const struct ring_node *n, struct peer *p, struct error *e)
{
    char place[NODE_ID_SIZE];
    keep_new_name(n, place);
    p->hints = hint_store_peer(l->peers.store, p->log_name, place, e);
    if (!p->hints)
        return false;
    p->log = hint_peer_log(p->hints);
    if (p == l->peers.own)
        hint_peer_tune(p->hints, OWN_SEGMENT, 0); /* a limit would only hold it up */
    tell_of_log(hint_peer_report(p->hints), n->address);
    return true;
}

static bool open_hints(struct logs *l, const char *root, struct error *e)
{
    const struct config *c = l->config;
    l->peers.store = hint_store_open(
        &(struct hint_store_options){.dir = root,
                                     .cap = c->hint_store_max_bytes,
                                     .cap_peer = c->hint_store_max_bytes_per_peer,
                                     .sync = hints_sync(c),
                                     .live_limit = c->enable_hinted_handoff ? 0 : c->send_window,
                                     .floor = l->me->start_mark << 32,
                                     .single_writer = true,
                                     .single_reader = true},
        e);
    return l->peers.store != NULL;
}

/* What remains of the logs found is orphaned. */
static bool take_orphans(struct logs *l, const char *root, struct error *e)
{
    if (!orphans_open(&l->orphans, l->peers.store, root, l->topology, &l->peers, e))
        return false;
    l->peers.orphans = &l->orphans;
    return true;
}

/* A node that lost its last peer while its store was away has answered what lies in the own log. */
static bool wants_own_log(const struct logs *l, const char *root)
{
    if (l->config->data_store == DATA_STORE_EMBEDDED)
        return false;
    char *dir = root ? mem_printf("%s/%s", root, l->me->id) : NULL;
    bool wants = l->topology->n > 1 || (dir && hint_log_exists(dir));
    mem_free(dir);
    return wants;
}

static void free_peer(struct peer *p)
{
    if (!p)
        return;
    peer_set_repair(p, 0, "");
    mem_free(p->log_name);
    mem_free(p);
}

/* Without peers, it goes when nothing is left in it. */
static bool drop_own_log(struct logs *l, struct error *e)
{
    struct peer *p = l->peers.own;
    const struct hint_log_report *r = p && l->topology->n == 1 ? hint_peer_report(p->hints) : NULL;
    if (!r || r->records || r->missing)
        return true;
    bool ok = hint_peer_remove(p->hints, e);
    free_peer(p);
    l->peers.own = NULL;
    return ok;
}

/* Hints on disk of a start before, where this one keeps none: what it writes has higher numbers, so
 * that a peer takes them for old when they come later. They stay there, and the mark with them. */
static void mark_left_behind(struct peer *p, const char *dir)
{
    struct hint_log_report r;
    struct error e;
    char reason[200];
    struct hint_log *log =
        hint_log_exists(dir)
            ? hint_log_open(
                  &(struct hint_log_options){.dir = dir, .peer = p->log_name, .adopt = true}, 0, &r,
                  &e)
            : NULL;
    if (!log)
        return;
    hint_log_close(log);
    if (r.records + r.missing == 0)
        return;
    snprintf(reason, sizeof reason, "%" PRIu64 " hints for it were left behind in %.120s",
             r.records, dir);
    log_warn("%s: this start keeps no hints there, and they won't be delivered any more", reason);
    struct hint_mark *m = hint_mark_open(dir);
    if (!hint_mark_set(m, clock_wall_ms(), reason, &e))
        log_error("needs-repair mark: %s", e.text);
    peer_set_repair(p, hint_mark_since(m), hint_mark_reason(m));
    hint_mark_close(m);
}

static void look_for_left_behind(const struct logs *l)
{
    for (unsigned i = 0; i <= l->peers.n; i++) {
        struct peer *p = i < l->peers.n ? l->peers.at[i] : l->peers.own;
        char place[NODE_ID_SIZE];
        if (!p)
            continue;
        keep_new_name(&l->topology->nodes[p->node], place);
        const char *const names[] = {p->log_name, place};
        for (size_t k = 0; k < ARRAY_LEN(names) && (k == 0 || strcmp(place, p->log_name) != 0);
             k++) {
            char *dir = mem_printf("%s/hints/%s", l->config->data_dir, names[k]);
            mark_left_behind(p, dir);
            mem_free(dir);
        }
    }
}

/* Each peer has a log, and the own store, where it may be away while the node runs. */
bool logs_open(struct logs *l, struct error *e)
{
    unsigned n = l->topology->n, self = l->topology->self;
    l->peers = (struct peers){.n = n,
                              .self = self,
                              .at = mem_calloc(RING_NODES_MAX, sizeof *l->peers.at),
                              .carried = mem_calloc(PEERS_CARRIED + 1, sizeof *l->peers.carried),
                              .awaited = mem_calloc(PEERS_CARRIED, sizeof *l->peers.awaited)};
    l->dirs = mem_calloc(RING_NODES_MAX, sizeof *l->dirs);
    char *root = hints_root(l->config);
    bool ok = !root || dir_make(root, e);
    bool own_too = wants_own_log(l, root);
    for (unsigned i = 0; ok && i < n; i++)
        if (i != self || own_too)
            ok = name_peer(l, i, root, e);
    ok = ok && open_hints(l, root, e);
    for (unsigned i = 0; ok && i < n; i++)
        if (i != self || own_too)
            ok = open_log(l, &l->topology->nodes[i], i == self ? l->peers.own : l->peers.at[i], e);
    ok = ok && drop_own_log(l, e) && take_orphans(l, root, e);
    if (ok && !root)
        look_for_left_behind(l);
    mem_free(root);
    return ok;
}

/* ---- while the server runs ---------------------------------------------------------------------
 */

/* Of a peer that has gone: who comes back to its place gets what is left in it, who comes to
 * another one finds none. It remembers the numbers that it had from us, up to *numbers. */
static bool free_name(struct logs *l, const struct ring_node *n, uint64_t *numbers, struct error *e)
{
    char place[NODE_ID_SIZE], name[NODE_ID_SIZE];
    struct hint_peer *old = hint_store_find(l->peers.store, n->id);
    keep_new_name(n, place);
    if (!old || strcmp(hint_peer_header(old), place) == 0)
        return true;
    uint64_t left =
        hint_log_appended(hint_peer_log(old)).records - hint_log_acked(hint_peer_log(old)).records;
    *numbers = hint_log_appended(hint_peer_log(old)).seq;
    if (left)
        return error_set(e, "%" PRIu64 " hints lie here that were made for it at another place",
                         left);
    snprintf(name, sizeof name, "gone-%" PRIx64 "-%u", l->me->start_mark, l->peers.n);
    return hint_peer_rename(old, name, e);
}

struct peer *logs_add(struct logs *l, const struct ring_node *n, struct error *e)
{
    char *root = hints_root(l->config), *dir = root ? mem_printf("%s/%s", root, n->id) : NULL;
    struct peer *p = MEM_NEW(struct peer);
    unsigned node = l->peers.n;
    p->node = node;
    p->log_name = mem_strdup(n->id);
    uint64_t numbers = 0;
    bool ok = orphans_claim(&l->orphans, n, e) && free_name(l, n, &numbers, e) &&
              (!dir || dir_make(dir, e)) && open_log(l, n, p, e);
    mem_free(root);
    if (!ok) {
        mem_free(dir);
        free_peer(p);
        return NULL;
    }
    hint_log_set_floor(p->log, numbers);
    l->peers.at[node] = p;
    l->dirs[node] = dir;
    return p;
}

bool logs_add_own(struct logs *l, const struct topology *now, struct error *e)
{
    const struct ring_node *n = &now->nodes[l->peers.self];
    if (l->peers.own || l->config->data_store == DATA_STORE_EMBEDDED)
        return true;
    char *root = hints_root(l->config), *dir = root ? mem_printf("%s/%s", root, n->id) : NULL;
    struct peer *p = MEM_NEW(struct peer);
    p->node = l->peers.self;
    p->log_name = mem_strdup(n->id);
    bool ok = (!dir || dir_make(dir, e)) && open_log(l, n, p, e);
    mem_free(root);
    if (!ok) {
        mem_free(dir);
        free_peer(p);
        return false;
    }
    hint_peer_tune(p->hints, OWN_SEGMENT, 0);
    if (hint_log_appended(p->log).records == hint_log_acked(p->log).records)
        hint_peer_set_hinting(p->hints,
                              false); /* nothing to replay: no request may take it for behind */
    l->dirs[p->node] = dir;
    __atomic_store_n(&l->peers.own, p, __ATOMIC_RELEASE);
    return true;
}

void logs_undo_add(struct logs *l, struct peer *p)
{
    l->peers.at[p->node] = NULL;
    mem_free(l->dirs[p->node]);
    l->dirs[p->node] = NULL;
    free_peer(p);
}

void logs_close(struct logs *l)
{
    for (unsigned i = 0; i < l->peers.n; i++) {
        free_peer(l->peers.at[i]);
        mem_free(l->dirs[i]);
    }
    free_peer(l->peers.own);
    orphans_close(&l->orphans);
    struct error e;
    if (!hint_store_close(l->peers.store, &e))
        log_error("hints: %s", e.text);
    mem_free(l->peers.at);
    mem_free(l->peers.carried);
    mem_free(l->peers.awaited);
    mem_free(l->dirs);
}

bool logs_keep_ring(const struct logs *l, const struct topology *t, struct error *e)
{
    char *root = hints_root(l->config);
    bool ok = !root || orphans_keep_ring(root, t, e);
    mem_free(root);
    return ok;
}
