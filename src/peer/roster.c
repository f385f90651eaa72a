#include "peer/roster.h"
#include "core/log.h"
#include "core/mem.h"
#include "peer/keep.h"
#include <string.h>

struct roster {
    struct ring_node nodes[RING_NODES_MAX + 1]; /* one more is refused by the topology */
    unsigned n;
    char **addresses; /* made here */
    unsigned naddresses;
};

static void add(struct roster *r, const struct ring_node *n)
{
    if (r->n < ARRAY_LEN(r->nodes))
        r->nodes[r->n++] = *n;
}

static const char *seed_address(struct roster *r, const struct config_seed *seed)
{
    bool v6 = strchr(seed->host, ':') != NULL;
    r->addresses = mem_realloc(r->addresses, (r->naddresses + 1) * sizeof *r->addresses);
    return r->addresses[r->naddresses++] =
               mem_printf(v6 ? "[%s]:%u" : "%s:%u", seed->host, seed->port);
}

static void add_configured(struct roster *r, const struct config *c, const struct identity *me)
{
    struct ring_node self = {.address = me->address,
                             .datacenter = c->datacenter,
                             .rack = c->rack,
                             .tokens = c->tokens,
                             .ntokens = c->ntokens};
    memcpy(self.id, me->id, NODE_ID_SIZE);
    add(r, &self);
    for (size_t i = 0; i < c->nseeds; i++) {
        const struct config_seed *seed = &c->seeds[i];
        add(r, &(struct ring_node){.address = seed_address(r, seed),
                                   .datacenter = seed->datacenter,
                                   .rack = seed->rack,
                                   .tokens = seed->tokens,
                                   .ntokens = seed->ntokens});
    }
}

/* The node of dyn_seeds at this place; 0: there is none. */
static unsigned configured_at(const struct roster *r, unsigned nconfigured,
                              const struct ring_node *n)
{
    for (unsigned i = 1; i < nconfigured; i++)
        if (ring_same_place(&r->nodes[i], n))
            return i;
    return 0;
}

static bool shares_token(const struct ring_node *a, const struct ring_node *b)
{
    if (strcmp(a->datacenter, b->datacenter) != 0 || strcmp(a->rack, b->rack) != 0)
        return false;
    for (size_t i = 0; i < a->ntokens; i++)
        for (size_t k = 0; k < b->ntokens; k++)
            if (a->tokens[i] == b->tokens[k])
                return true;
    return false;
}

/* Has the configuration given a token of it to another node? Its log is an orphan then. */
static bool is_displaced(const struct roster *r, unsigned nconfigured, const struct ring_node *n)
{
    for (unsigned i = 0; i < nconfigured; i++) {
        const struct ring_node *by = &r->nodes[i];
        if (by->role == RING_GONE || !shares_token(by, n))
            continue;
        log_warn("node %s (%s) isn't in the ring any more: the configuration has a token of it at "
                 "%s",
                 n->id, n->address, by->address);
        return true;
    }
    return false;
}

/* Membership knows better than the configuration where a node is, and whether it is still there. */
static void add_kept(struct roster *r, const struct topology *kept)
{
    unsigned nconfigured = r->n;
    for (unsigned i = 0; i < kept->n; i++) {
        const struct ring_node *n = &kept->nodes[i];
        unsigned at = configured_at(r, nconfigured, n);
        if (i == kept->self && n->role != RING_MEMBER && ring_same_place(n, &r->nodes[0]))
            r->nodes[0].role = RING_JOINING; /* until membership says more */
        if (strcmp(n->id, r->nodes[0].id) == 0 || ring_same_place(n, &r->nodes[0]))
            continue;
        bool its = at && (!*r->nodes[at].id || strcmp(r->nodes[at].id, n->id) == 0);
        if (at && *n->id && (n->role != RING_GONE || its))
            r->nodes[at] = *n;
        else if (!at && *n->id && n->role != RING_GONE && !is_displaced(r, nconfigured, n))
            add(r, n);
    }
}

static char *members_path(const struct config *c)
{
    return mem_printf("%s/members", c->data_dir);
}

struct topology *roster_load(const struct config *c, const struct identity *me, struct error *e)
{
    struct roster *r = MEM_NEW(struct roster);
    struct topology *kept = NULL, *t = NULL;
    char *path = members_path(c);
    add_configured(r, c, me);
    bool ok = keep_load_peers(c->data_dir, r->nodes, r->n, 0, e) &&
              (!c->enable_gossip || keep_load_ring(path, &kept, e));
    if (ok && kept)
        add_kept(r, kept);
    if (ok)
        t = topology_new(r->nodes, r->n, 0, e);
    topology_free(kept);
    for (unsigned i = 0; i < r->naddresses; i++)
        mem_free(r->addresses[i]);
    mem_free(r->addresses);
    mem_free(path);
    mem_free(r);
    return t;
}

bool roster_keep(const struct config *c, const struct topology *t, struct error *e)
{
    if (!c->enable_gossip)
        return true;
    char *path = members_path(c);
    bool ok = keep_ring(path, t, e);
    mem_free(path);
    return ok;
}
