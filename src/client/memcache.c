#include "client/memcache.h"
#include "client/dispatch.h"
#include "client/ring.h"
#include "core/log.h"
#include "core/mem.h"
#include "wire/memcache_command.h"

#define VERBOSITY_MAX     11             /* as -v has it */
#define VALUE_MAX_DEFAULT (1024u * 1024) /* memcached's item_size_max */

size_t memcache_value_max(const struct clients *all)
{
    uint64_t max = store_value_max(all->requests->store);
    if (max == 0)
        return VALUE_MAX_DEFAULT;
    return max < RESP_BULK_MAX ? (size_t)max : RESP_BULK_MAX;
}

/* ---- what is answered here --------------------------------------------------------------------
 */

static bool say_all(struct client *c, const struct command_spec *spec, struct buf *b)
{
    c->rendering.fn = NULL;
    struct call *call = call_new(c, spec, 0);
    call_reply(call, buf_slice(b));
    buf_fini(b);
    return true;
}

/* One line, or, where the client wants none, nothing. */
static bool say(struct client *c, const struct command_spec *spec, const char *line)
{
    struct buf b = BUF_INIT;
    if (!memcache_is_silent(&c->memcache->cmd))
        buf_printf(&b, "%s\r\n", line);
    return say_all(c, spec, &b);
}

static const struct command_spec *row(const char *name)
{
    return command_find(slice_str(name));
}

/* Something that a browser sends, who was led here: what follows are lines of its request. */
static bool is_http(const struct memcache_command *m)
{
    struct slice last = m->nwords ? m->words[m->nwords - 1] : slice_of(NULL, 0);
    return strcmp(m->answer, "ERROR") == 0 && last.len >= 5 && memcmp(last.ptr, "HTTP/", 5) == 0;
}

static bool wrong(struct client *c)
{
    const struct memcache_command *m = &c->memcache->cmd;
    if (!is_http(m))
        return say(c, NULL, m->answer);
    c->closing = true;
    return say(c, NULL, "CLIENT_ERROR this is the port for memcached's clients, not for HTTP");
}

static bool version(struct client *c)
{
    return say(c, row("VERSION"), "VERSION " MEMCACHE_VERSION_TOLD);
}

/* Without a word. */
static bool quit(struct client *c)
{
    struct buf none = BUF_INIT;
    c->closing = true;
    return say_all(c, row("QUIT"), &none);
}

static bool stats(struct client *c)
{
    struct buf b = BUF_INIT;
    memcache_stats(c, &b);
    return say_all(c, row("STATS"), &b);
}

unsigned memcache_verbosity(const struct clients *all)
{
    int own = (int)CONFIG_LIVE(all->config, verbosity), now = log_verbosity();
    return now > own ? (unsigned)(now - own) : 0;
}

/* So much more than the node tells by itself. */
static bool verbosity(struct client *c)
{
    unsigned own = CONFIG_LIVE(c->all->config, verbosity), level = c->memcache->cmd.level;
    log_set_verbosity((int)(level < VERBOSITY_MAX - own ? own + level : VERBOSITY_MAX));
    return say(c, row("VERBOSITY"), "OK");
}

/* At all nodes of the ring, which forget what is older than now; nobody waits there for a while. */
static bool flush_all(struct client *c)
{
    const struct command_spec *spec = row("FLUSHALL");
    if (!CONFIG_LIVE(c->all->config, allow_flush))
        return say(c, spec,
                   "CLIENT_ERROR flush_all not allowed; allow_flush: true in the configuration "
                   "allows it");
    if (c->memcache->cmd.ttl > 0)
        return say(c, spec, "CLIENT_ERROR flush_all with a delay isn't supported");
    memcache_inside_flush(c);
    memcache_render(c);
    if (!ring_flush(c, spec))
        return false;
    STATS_ADD(c->all->stats, memcache[MEMCACHE_CMD_FLUSH], 1);
    return true;
}

/* What looks into one memcached, or steers it. */
static bool admin(struct client *c)
{
    char line[120];
    struct slice name = c->memcache->cmd.words[0];
    snprintf(line, sizeof line,
             "CLIENT_ERROR %.*s is about one memcached; ask the one behind a node", (int)name.len,
             (const char *)name.ptr);
    return say(c, NULL, line);
}

/* ---- what the stores are asked ----------------------------------------------------------------
 */

/* Uniques and what `me` tells differ from replica to replica. */
static bool is_for_first(const struct client *c)
{
    const struct memcache_command *m = &c->memcache->cmd;
    if (m->verb == MEMCACHE_GET)
        return memcache_given(m, 'c');
    return m->verb == MEMCACHE_META_DEBUG || memcache_names_unique(&c->cmd);
}

static bool is_write(const struct client *c, const struct command_spec *spec)
{
    const struct memcache_command *m = &c->memcache->cmd;
    if (m->verb == MEMCACHE_GET) /* whose flags stand behind many keys */
        return memcache_given(m, 'T');
    enum command_class class_ = command_class_of(spec, &c->cmd);
    return class_ == COMMAND_OVERWRITE || class_ == COMMAND_CHANGE;
}

static bool run(struct client *c, size_t nkeys)
{
    const struct command_spec *spec = command_find(c->cmd.argv[0]);
    bool write = is_write(c, spec);
    size_t few[16], *keys = few;
    if (nkeys > ARRAY_LEN(few))
        keys = mem_calloc(nkeys, sizeof *keys);
    for (size_t i = 0; i < nkeys; i++)
        keys[i] = i + 1;
    c->at_first = is_for_first(c);
    memcache_render(c);
    bool started = dispatch_keys(c, spec, keys, nkeys, write);
    if (keys != few)
        mem_free(keys);
    return started;
}

/* What memcached would have replaced whatever it was has gone all the same. */
static bool too_large(struct client *c)
{
    const struct memcache_command *m = &c->memcache->cmd;
    bool removes = m->verb == MEMCACHE_META_SET || (m->mode == 'S' && !memcache_given(m, 'C'));
    memcache_inside_too_large(c);
    bool started =
        removes ? run(c, 1) : say(c, row("MS"), "SERVER_ERROR object too large for cache");
    if (started)
        STATS_ADD(c->all->stats, memcache[MEMCACHE_STORE_TOO_LARGE], 1);
    return started;
}

static bool start(struct client *c)
{
    const struct memcache_command *m = &c->memcache->cmd;
    switch (m->verb) {
    case MEMCACHE_WRONG:
        return wrong(c);
    case MEMCACHE_META_NOOP:
        return say(c, row("MN"), "MN");
    case MEMCACHE_VERSION:
        return version(c);
    case MEMCACHE_QUIT:
        return quit(c);
    case MEMCACHE_STATS:
        return stats(c);
    case MEMCACHE_VERBOSITY:
        return verbosity(c);
    case MEMCACHE_FLUSH_ALL:
        return flush_all(c);
    case MEMCACHE_ADMIN:
        return admin(c);
    default:
        break;
    }
    if (m->verb == MEMCACHE_GET && m->first == m->nwords) /* gat without a key */
        return say(c, row("MG"), "END");
    if (m->too_large)
        return too_large(c);
    return run(c, memcache_inside(c));
}

/* ---- the dialect ------------------------------------------------------------------------------
 */

static void open_client(struct client *c)
{
    c->memcache = MEM_NEW(struct memcache_client);
}

static void close_client(struct client *c)
{
    memcache_command_fini(&c->memcache->cmd);
    mem_free(c->memcache);
}

static enum resp_status parse(struct client *c, struct error *e)
{
    struct memcache_client *m = c->memcache;
    const struct buf *in = &c->stream.in;
    m->parser.value_max = memcache_value_max(c->all);
    enum resp_status rc = memcache_parse(&m->parser, buf_head(in), in->len, &m->cmd, e);
    if (rc == RESP_MORE)
        c->stream.in_want = m->parser.want;
    c->cmd.size = m->cmd.size;
    c->cmd.argc = m->cmd.verb != MEMCACHE_NOTHING;
    return rc;
}

static bool dispatch(struct client *c)
{
    if (!start(c))
        return false;
    memcache_taken(&c->memcache->parser, &c->memcache->cmd);
    return true;
}

static void add_error(struct buf *out, const char *text)
{
    buf_printf(out, "CLIENT_ERROR %s\r\n", text);
}

const struct dialect dialect_memcache = {.parse = parse,
                                         .dispatch = dispatch,
                                         .add_error = add_error,
                                         .open = open_client,
                                         .close = close_client};
