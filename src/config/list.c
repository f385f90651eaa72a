/* The types that are lists: tokens, seeds, the backend's address and buckets. */
#include "config/buckets.h"
#include "config/option.h"
#include "config/type.h"
#include "core/buf.h"
#include "core/mem.h"
#include <inttypes.h>
#include <string.h>

#define TOKENS_MAX 1024 /* of one node */

static size_t list_items(const struct option *o, const struct config *c)
{
    return *option_count_at(o, c);
}

/* --- tokens ------------------------------------------------------------------------------------
 */

struct tokens {
    uint32_t *v;
    size_t n;
};

static bool tokens_append(struct tokens *t, const char *text, size_t len)
{
    int64_t token;
    if (t->n == TOKENS_MAX || !slice_to_i64(slice_of(text, len), &token) || token < 0 ||
        token > UINT32_MAX)
        return false;
    for (size_t i = 0; i < t->n; i++)
        if (t->v[i] == (uint32_t)token)
            return false;
    t->v = mem_realloc(t->v, (t->n + 1) * sizeof *t->v);
    t->v[t->n++] = (uint32_t)token;
    return true;
}

/* Comma separated, blanks around each are fine. False: `t` has some of them. */
static bool tokens_parse(struct tokens *t, const char *text)
{
    for (;;) {
        text += strspn(text, " ");
        size_t field = strcspn(text, ","), len = field;
        while (len && text[len - 1] == ' ')
            len--;
        if (!tokens_append(t, text, len))
            return false;
        if (!text[field])
            return true;
        text += field + 1;
    }
}

static char *tokens_join(const uint32_t *v, size_t n)
{
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s%" PRIu32, i ? "," : "", v[i]);
    buf_add(&b, "", 1);
    char *out = mem_strdup((const char *)buf_head(&b));
    buf_fini(&b);
    return out;
}

static bool tokens_add(const struct option *o UNUSED, const char *text, struct config *c,
                       struct error *e)
{
    struct tokens t = {c->tokens, c->ntokens};
    bool ok = tokens_parse(&t, text);
    c->tokens = t.v; /* on failure too: the array may have moved */
    c->ntokens = t.n;
    if (ok)
        return true;
    return error_set(e,
                     "found %.100s; allowed 0..%" PRIu32 ", comma separated, each once, at most %d",
                     option_show(text), UINT32_MAX, TOKENS_MAX);
}

static char *tokens_item(const struct option *o UNUSED, const struct config *c, size_t i)
{
    return tokens_join(c->tokens + i, 1);
}

static void tokens_clear(const struct option *o UNUSED, struct config *c)
{
    mem_free(c->tokens);
    c->tokens = NULL;
    c->ntokens = 0;
}

const struct option_type type_tokens = {.is_list = true,
                                        .kind = CONFIG_NUMBER,
                                        .add = tokens_add,
                                        .items = list_items,
                                        .item = tokens_item,
                                        .clear = tokens_clear};

/* --- seeds: host:port:rack:dc:tokens -----------------------------------------------------------
 */

void config_seed_fini(struct config_seed *s)
{
    mem_free(s->host);
    mem_free(s->rack);
    mem_free(s->datacenter);
    mem_free(s->tokens);
}

/* Cuts text at its last ':' and returns what stood behind it; NULL: there is none. */
static char *cut_last(char *text)
{
    char *colon = strrchr(text, ':');
    if (!colon)
        return NULL;
    *colon = 0;
    return colon + 1;
}

/* Eats `text`. From the right, because an address may have colons of its own. */
static bool seed_parse(char *text, struct config_seed *out)
{
    char *tokens = cut_last(text), *dc = cut_last(text), *rack = cut_last(text);
    struct address a;
    struct tokens t = {NULL, 0};
    if (!tokens || !dc || !rack || !option_name_ok(dc) || !option_name_ok(rack) ||
        !address_parse(text, ADDRESS_TCP_ONLY, &a, NULL) || !tokens_parse(&t, tokens)) {
        mem_free(t.v);
        return false;
    }
    *out = (struct config_seed){.host = mem_strdup(a.host),
                                .port = a.port,
                                .rack = mem_strdup(rack),
                                .datacenter = mem_strdup(dc),
                                .tokens = t.v,
                                .ntokens = t.n};
    return true;
}

bool config_seed_parse(const char *text, struct config_seed *out, struct error *e)
{
    char *copy = mem_strdup(text);
    bool ok = seed_parse(copy, out);
    mem_free(copy);
    return ok ||
           error_set(e, "found %.100s; allowed host:port:rack:dc:tokens, tokens comma separated",
                     option_show(text));
}

static bool seeds_add(const struct option *o UNUSED, const char *text, struct config *c,
                      struct error *e)
{
    struct config_seed s;
    if (!config_seed_parse(text, &s, e))
        return false;
    c->seeds = mem_realloc(c->seeds, (c->nseeds + 1) * sizeof *c->seeds);
    c->seeds[c->nseeds++] = s;
    return true;
}

static char *seeds_item(const struct option *o UNUSED, const struct config *c, size_t i)
{
    const struct config_seed *s = &c->seeds[i];
    bool v6 = strchr(s->host, ':');
    char *tokens = tokens_join(s->tokens, s->ntokens);
    char *out = mem_printf("%s%s%s:%u:%s:%s:%s", v6 ? "[" : "", s->host, v6 ? "]" : "", s->port,
                           s->rack, s->datacenter, tokens);
    mem_free(tokens);
    return out;
}

static void seeds_clear(const struct option *o UNUSED, struct config *c)
{
    for (size_t i = 0; i < c->nseeds; i++)
        config_seed_fini(&c->seeds[i]);
    mem_free(c->seeds);
    c->seeds = NULL;
    c->nseeds = 0;
}

const struct option_type type_seeds = {.is_list = true,
                                       .is_text = true,
                                       .add = seeds_add,
                                       .items = list_items,
                                       .item = seeds_item,
                                       .clear = seeds_clear};

/* --- servers: host:port:weight, or the path of a unix socket, also with a weight ----------------
 */

static bool weight_ok(const char *text)
{
    int64_t n;
    return slice_to_i64(slice_str(text), &n) && n > 0;
}

/* With one server its weight decides nothing. Eats `text`. */
static bool server_parse(char *text, struct address *out)
{
    char *colon = strrchr(text, ':');
    if (strchr(text, '/')) {
        if (colon && weight_ok(colon + 1))
            *colon = 0;
        return address_parse(text, 0, out, NULL);
    }
    if (!colon || !weight_ok(colon + 1))
        return false;
    *colon = 0;
    return address_parse(text, ADDRESS_TCP_ONLY, out, NULL);
}

static bool servers_add(const struct option *o UNUSED, const char *text, struct config *c,
                        struct error *e)
{
    struct address a;
    char *copy = mem_strdup(text);
    bool ok = server_parse(copy, &a);
    mem_free(copy);
    if (!ok)
        return error_set(e, "found %.100s; allowed host:port:weight or a unix socket path",
                         option_show(text));
    c->servers = mem_realloc(c->servers, (c->nservers + 1) * sizeof *c->servers);
    c->servers[c->nservers++] = a;
    return true;
}

static char *servers_item(const struct option *o UNUSED, const struct config *c, size_t i)
{
    char text[ADDRESS_TEXT_SIZE];
    address_format(&c->servers[i], text, sizeof text);
    return mem_printf("%s:1", text);
}

static void servers_clear(const struct option *o UNUSED, struct config *c)
{
    mem_free(c->servers);
    c->servers = NULL;
    c->nservers = 0;
}

const struct option_type type_servers = {.is_list = true,
                                         .is_text = true,
                                         .add = servers_add,
                                         .items = list_items,
                                         .item = servers_item,
                                         .clear = servers_clear};

/* --- buckets: prefix:read level:write level -----------------------------------------------------
 */

#define BUCKET_TEXT_MAX (BUCKET_PREFIX_MAX + 100) /* with the longest names of levels */

/* Eats `text`. From the right, because a prefix may have colons of its own. */
static bool bucket_parse(const struct option *o, char *text, struct bucket *out)
{
    char *write = cut_last(text), *read = cut_last(text);
    const struct option_word *w = write ? option_find_word(o->words, write) : NULL;
    const struct option_word *r = read ? option_find_word(o->words, read) : NULL;
    *out = (struct bucket){.prefix = text, .len = strlen(text)};
    if (!w || !r || out->len == 0 || out->len > BUCKET_PREFIX_MAX)
        return false;
    out->read = (enum consistency)r->value;
    out->write = (enum consistency)w->value;
    return true;
}

static bool bucket_refuse(const struct option *o, const char *text, struct error *e)
{
    char *levels = option_words(o->words);
    error_set(e,
              "found %.100s; allowed prefix:read level:write level, the prefix of 1..%d bytes, the "
              "levels from %s",
              option_show(text), BUCKET_PREFIX_MAX, levels);
    mem_free(levels);
    return false;
}

/* The first bucket of a list with commas, which prefixes may have as well: it ends at the first
 * comma behind two levels. *size: its bytes. */
static bool buckets_add_first(const struct option *o, const char *text, size_t *size,
                              struct config *c, struct error *e)
{
    for (*size = 0;; ++*size) {
        *size += strcspn(text + *size, ",");
        if (*size > BUCKET_TEXT_MAX)
            return bucket_refuse(o, text, e);
        char *copy = mem_dup(text, *size + 1);
        struct bucket b;
        copy[*size] = 0;
        bool parsed = bucket_parse(o, copy, &b);
        bool added =
            parsed && buckets_add(&c->bucket_types, slice_of(b.prefix, b.len), b.read, b.write);
        mem_free(copy);
        if (added)
            return true;
        if (parsed && c->bucket_types->n == BUCKETS_MAX)
            return error_set(e, "found more than %d; allowed at most %d", BUCKETS_MAX, BUCKETS_MAX);
        if (parsed)
            return error_set(e,
                             "found %.100s, of a prefix that has levels already; allowed each "
                             "prefix once",
                             text);
        if (!text[*size])
            return bucket_refuse(o, text, e);
    }
}

static bool buckets_add_text(const struct option *o, const char *text, struct config *c,
                             struct error *e)
{
    for (;;) {
        size_t size;
        if (!buckets_add_first(o, text, &size, c, e))
            return false;
        if (!text[size])
            return true;
        text += size + 1;
        text += strspn(text, " ");
    }
}

static size_t buckets_items(const struct option *o UNUSED, const struct config *c)
{
    const struct buckets *b = RCU_GET(c->bucket_types);
    return b ? b->n : 0;
}

/* "": the list became shorter since its items were counted. */
static char *buckets_item(const struct option *o UNUSED, const struct config *c, size_t i)
{
    const struct buckets *all = RCU_GET(c->bucket_types);
    if (!all || i >= all->n)
        return mem_strdup("");
    const struct bucket *b = &all->bucket[i];
    return mem_printf("%.*s:%s:%s", (int)b->len, b->prefix, consistency_name(b->read),
                      consistency_name(b->write));
}

static void buckets_clear(const struct option *o UNUSED, struct config *c)
{
    buckets_free(c->bucket_types);
    c->bucket_types = NULL;
}

static void buckets_publish(struct config *from, struct config *to)
{
    struct buckets *old = RCU_SWAP(to->bucket_types, from->bucket_types);
    from->bucket_types = NULL;
    if (old)
        rcu_defer(&old->rcu, buckets_reclaim);
}

const struct option_type type_buckets = {.is_list = true,
                                         .is_text = true,
                                         .add = buckets_add_text,
                                         .items = buckets_items,
                                         .item = buckets_item,
                                         .clear = buckets_clear,
                                         .publish = buckets_publish};
