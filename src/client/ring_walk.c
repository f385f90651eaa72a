/* SCAN, KEYS, DBSIZE and RANDOMKEY over the whole ring, a page at a time. KEYS and DBSIZE have
 * several lanes, each of which walks a part of the ring by itself; the others have one. Answers are
 * only noted when they come; what is asked next is asked at the turn's end, so that a store which
 * answers at once doesn't hold up the others. */
#include "client/ring.h"
#include "core/clock.h"
#include "core/mem.h"
#include "ring/tellers.h"
#include "store/redis_reply.h"
#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

#define LANES_MAX    16
#define PAGE         1000   /* keys asked for at a time */
#define COUNT_MAX    10000  /* the same, when a client wishes for more */
#define COUNTED_MAX  100000 /* keys of one store that DBSIZE counts one by one, see lane_counted */
#define PAGES_A_TURN 4
#define RANDOM_TRIES 3 /* before RANDOMKEY takes one that a scan finds */

enum phase { LANE_SCAN, LANE_SIZE, LANE_RANDOM, LANE_DONE };

struct ask {
    struct ring_walk *walk; /* NULL: nobody waits for it any more */
    struct lane *lane;
};

struct lane {
    struct tellers_walk at;
    unsigned end; /* the first step that isn't its own */
    enum phase phase;
    bool begun;          /* it has asked for this step */
    struct ask *ask;     /* on its way; NULL: none */
    uint64_t patient_ms; /* from then on another one is asked as well */
    /* told so far, and of that, what was before this step: it may have to be told again */
    struct buf keys;
    uint64_t n;
    size_t keys_before;
    uint64_t n_before;
};

struct ring_walk {
    struct ring_walk *next;
    struct clients *all;
    struct call *call;
    struct tellers *tellers;
    enum { SCAN, KEYS, COUNT, RANDOM } kind;
    uint64_t deadline_ms;
    struct buf options;    /* of SCAN: what stands behind the cursor, as a command */
    unsigned next_place;   /* KEYS, COUNT: the first that no lane has; */
    unsigned place, tries; /* RANDOM: where it began; how often a node may be asked for one */
    bool wrapped;
    size_t bytes;                             /* of all lanes' keys */
    char failure[200];                        /* of the last node that couldn't be asked */
    uint8_t failed[(RING_NODES_MAX + 7) / 8]; /* nodes that weren't able to tell */
    unsigned nlanes;
    struct lane lanes[LANES_MAX];
};

/* ---- the rooms around ---------------------------------------------------------------------------
 */

struct tellers *ring_tellers(struct clients *all)
{
    rcu_read_begin();
    const struct topology *t = RCU_GET(*all->requests->topology);
    if (!all->tellers || tellers_serial(all->tellers) != t->serial) {
        tellers_free(all->tellers);
        all->tellers = tellers_new(t);
    }
    rcu_read_end();
    return all->tellers;
}

bool ring_can_ask(const struct requests *rs, unsigned node, bool lacking)
{
    if (node == rs->peers->self)
        return store_is_up(rs->store) &&
               (lacking || __atomic_load_n(rs->own_state, __ATOMIC_ACQUIRE) == NODE_NORMAL);
    const struct peer *p = rs->peers->at[node];
    enum node_state state = peer_state(p), told = peer_member_state(p);
    bool up = PEER_LOAD(p, link_up) && state != NODE_DOWN;
    bool normal =
        state == NODE_NORMAL && told != NODE_DOWN && told != NODE_STANDBY && told != NODE_JOINING;
    return up && (lacking || normal);
}

struct call *ring_call(struct client *c, const struct command_spec *spec)
{
    c->solo = true;
    return call_new(c, spec, 0);
}

void ring_reply(struct call *call, struct slice reply)
{
    if (call->client)
        call->client->solo = false;
    call_reply(call, reply);
}

void ring_reply_error(struct call *call, const char *text)
{
    struct buf b = BUF_INIT;
    resp_add_error(&b, "%s", text);
    ring_reply(call, buf_slice(&b));
    buf_fini(&b);
}

bool ring_may_start(struct client *c)
{
    struct requests *rs = c->all->requests;
    if (c->first_call)
        return false;
    if (recent_is_everywhere(&c->recent, rs))
        return true;
    uint64_t now = clock_mono_ms();
    if (!c->lag_until)
        c->lag_until = now + rs->config->timeout / 5;
    if (now >= c->lag_until)
        return true;
    c->lagging = c->all->later = true;
    return false;
}

/* ---- the end ------------------------------------------------------------------------------------
 */

static void abandon(struct lane *l)
{
    if (l->ask)
        l->ask->walk = NULL;
    l->ask = NULL;
}

/* Out of the list, whose place this is. */
static void walk_free(struct ring_walk **at)
{
    struct ring_walk *w = *at;
    *at = w->next;
    for (unsigned i = 0; i < w->nlanes; i++) {
        abandon(&w->lanes[i]);
        buf_fini(&w->lanes[i].keys);
    }
    buf_fini(&w->options);
    tellers_free(w->tellers);
    mem_free(w);
}

static void answer(struct ring_walk *w, struct slice reply)
{
    struct call *call = w->call;
    w->call = NULL;
    ring_reply(call, reply);
}

static void answer_error(struct ring_walk *w, const char *text)
{
    struct buf b = BUF_INIT;
    resp_add_error(&b, "%s", text);
    answer(w, buf_slice(&b));
    buf_fini(&b);
}

static void answer_too_much(struct ring_walk *w)
{
    char text[120];
    snprintf(text, sizeof text,
             "ERR more than %" PRIu64 " bytes of replies "
             "(client_output_max_bytes); SCAN tells them bit by bit",
             w->all->config->client_output_max_bytes);
    answer_error(w, text);
}

static void answer_timeout(struct ring_walk *w)
{
    char text[80];
    snprintf(text, sizeof text, "TIMEOUT no answer within %u ms", w->all->config->timeout);
    answer_error(w, text);
}

static void add_page(struct buf *b, uint64_t cursor, const struct lane *l)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, cursor);
    resp_add_array(b, 2);
    resp_add_bulk_str(b, text);
    resp_add_array(b, l->n);
    buf_add(b, buf_head(&l->keys), l->keys.len);
}

static void answer_whole(struct ring_walk *w)
{
    struct buf b = BUF_INIT;
    uint64_t n = 0;
    for (unsigned i = 0; i < w->nlanes; i++)
        n += w->lanes[i].n;
    if (w->kind == COUNT) {
        resp_add_int(&b, (int64_t)n);
    } else if (w->kind == RANDOM) {
        resp_add_nil(&b);
    } else {
        resp_add_array(&b, n);
        for (unsigned i = 0; i < w->nlanes; i++)
            buf_add(&b, buf_head(&w->lanes[i].keys), w->lanes[i].keys.len);
    }
    answer(w, buf_slice(&b));
    buf_fini(&b);
}

/* ---- what is told -------------------------------------------------------------------------------
 */

static bool is_ours(const struct ring_walk *w, const struct lane *l, struct slice key)
{
    return tellers_tells(w->tellers, l->at.step, request_token(w->all->requests, key));
}

static void take_key(struct ring_walk *w, struct lane *l, struct slice element)
{
    struct slice key;
    if (!resp_reply_bulk(element, &key) || !is_ours(w, l, key))
        return;
    l->n++;
    if (w->kind == COUNT)
        return;
    size_t before = l->keys.len;
    buf_add(&l->keys, element.ptr, element.len);
    w->bytes += l->keys.len - before;
}

/* This step is told. */
static void end_step(struct ring_walk *w, struct lane *l)
{
    tellers_go_on(w->tellers, &l->at);
    l->begun = false;
    l->keys_before = l->keys.len;
    l->n_before = l->n;
}

static void pick(struct ring_walk *w, const struct lane *l)
{
    struct redis_array a = {.rest = buf_slice(&l->keys), .left = l->n};
    struct slice key = slice_of(NULL, 0);
    uint64_t now = clock_mono_us(), which = XXH64(&now, sizeof now, 0) % l->n;
    for (uint64_t i = 0; i <= which && redis_array_next(&a, &key);)
        i++;
    answer(w, key);
}

static void end_page(struct ring_walk *w, struct lane *l, uint64_t cursor)
{
    struct buf b = BUF_INIT;
    l->at.cursor = cursor;
    if (cursor == 0)
        end_step(w, l);
    if (w->kind == RANDOM && l->n)
        pick(w, l);
    if (w->kind != SCAN)
        return;
    add_page(&b, tellers_write(w->tellers, &l->at), l);
    answer(w, buf_slice(&b));
    buf_fini(&b);
}

/* *2 cursor keys */
static void take_page(struct ring_walk *w, struct lane *l, struct slice reply)
{
    struct redis_array outer, inner;
    struct slice element, text;
    int64_t cursor;
    if (!redis_array_open(reply, &outer) || !redis_array_next(&outer, &element) ||
        !resp_reply_bulk(element, &text) || !redis_array_next(&outer, &element) ||
        !redis_array_open(element, &inner)) {
        answer_error(w, "BACKEND a store doesn't answer SCAN as Redis does");
        return;
    }
    if (!slice_to_i64(text, &cursor) || cursor < 0 || cursor >> TELLERS_CURSOR_BITS) {
        answer_error(w, "BACKEND a store's cursor has more than 36 bits");
        return;
    }
    while (redis_array_next(&inner, &element))
        take_key(w, l, element);
    if (w->kind == KEYS && w->bytes > w->all->config->client_output_max_bytes)
        answer_too_much(w);
    else
        end_page(w, l, (uint64_t)cursor);
}

/* All that its store has is its own: the only node of a rack holds everything. Where there are
 * others it may still have what was its own before they came: then as many as can be counted within
 * a second are counted, and beyond that the store's number is taken for it. */
static void take_size(struct ring_walk *w, struct lane *l, struct slice reply)
{
    int64_t n;
    if (!resp_reply_int(reply, &n)) {
        answer_error(w, "BACKEND a store doesn't answer DBSIZE as Redis does");
        return;
    }
    if (tellers_steps(w->tellers) > 1 && n <= COUNTED_MAX) {
        l->phase = LANE_SCAN;
        return;
    }
    l->n += (uint64_t)n;
    end_step(w, l);
}

/* Nil, one that isn't its own or one of ours: again, and then one that a scan finds. */
static void take_random(struct ring_walk *w, struct lane *l, struct slice reply)
{
    struct slice key;
    size_t hidden = sizeof STORE_HIDDEN_PREFIX - 1;
    bool is_key = resp_reply_bulk(reply, &key);
    bool good = is_key && is_ours(w, l, key) &&
                !(key.len >= hidden && memcmp(key.ptr, STORE_HIDDEN_PREFIX, hidden) == 0);
    if (good)
        answer(w, reply);
    else if (!is_key || --w->tries == 0)
        l->phase = LANE_SCAN;
}

static bool is_nodes_fault(struct slice reply)
{
    struct slice text = redis_text(reply);
    return resp_reply_is_error(reply) &&
           (redis_error_is(text, "NOQUORUM") || redis_error_is(text, "BACKEND") ||
            redis_error_is(text, "TIMEOUT"));
}

static void give_up_node(struct ring_walk *w, struct lane *l)
{
    unsigned node = tellers_asked(w->tellers, &l->at);
    w->failed[node / 8] |= (uint8_t)(1u << node % 8);
}

static void on_reply(void *arg, const struct request_result *r)
{
    struct ask *ask = arg;
    struct ring_walk *w = ask->walk;
    struct lane *l = ask->lane;
    mem_free(ask);
    if (!w)
        return;
    l->ask = NULL;
    if (!w->call)
        return;
    if (is_nodes_fault(r->reply)) {
        struct slice text = redis_text(r->reply);
        snprintf(w->failure, sizeof w->failure, "%.*s", (int)text.len, (const char *)text.ptr);
        give_up_node(w, l);
    } else if (resp_reply_is_error(r->reply)) {
        answer(w, r->reply);
    } else if (l->phase == LANE_SIZE) {
        take_size(w, l, r->reply);
    } else if (l->phase == LANE_RANDOM) {
        take_random(w, l, r->reply);
    } else {
        take_page(w, l, r->reply);
    }
}

/* ---- asking -------------------------------------------------------------------------------------
 */

/* `SCAN cursor` and what the client wishes besides. */
static void parse_question(const struct ring_walk *w, const struct lane *l, struct buf *b,
                           struct resp_command *cmd)
{
    char cursor[24], count[24];
    struct resp_command options = {0};
    snprintf(cursor, sizeof cursor, "%" PRIu64, l->at.cursor);
    snprintf(count, sizeof count, "%d", PAGE);
    const struct slice argv[4] = {slice_str("SCAN"), slice_str(cursor), slice_str("COUNT"),
                                  slice_str(count)};
    if (w->options.len && resp_command_parse(buf_slice(&w->options), &options)) {
        resp_add_array(b, options.argc + 1);
        resp_add_bulk(b, argv[0]);
        resp_add_bulk(b, argv[1]);
        for (size_t i = 1; i < options.argc; i++)
            resp_add_bulk(b, options.argv[i]);
    } else {
        resp_add_command(b, argv, 4);
    }
    (void)!resp_command_parse(buf_slice(b), cmd);
    resp_command_fini(&options);
}

static void ask(struct ring_walk *w, struct lane *l)
{
    struct requests *rs = w->all->requests;
    struct resp_command cmd = {0};
    struct buf b = BUF_INIT;
    if (l->phase == LANE_SCAN) {
        parse_question(w, l, &b, &cmd);
    } else {
        struct slice name = slice_str(l->phase == LANE_SIZE ? "DBSIZE" : "RANDOMKEY");
        resp_add_command(&b, &name, 1);
        (void)!resp_command_parse(buf_slice(&b), &cmd);
    }
    l->ask = MEM_NEW(struct ask);
    *l->ask = (struct ask){.walk = w, .lane = l};
    l->patient_ms = clock_mono_ms() + rs->config->timeout / 4;
    request_read_at(rs,
                    &(struct operation){.spec = command_find(cmd.argv[0]),
                                        .cmd = &cmd,
                                        .prefer = -1,
                                        .second = -1,
                                        .done = on_reply,
                                        .arg = l->ask},
                    tellers_asked(w->tellers, &l->at));
    resp_command_fini(&cmd);
    buf_fini(&b);
}

static bool can_ask(void *arg, unsigned node, bool lacking)
{
    const struct ring_walk *w = arg;
    return !(w->failed[node / 8] >> node % 8 & 1) && ring_can_ask(w->all->requests, node, lacking);
}

/* At a node that was found for it; what another one has told of it doesn't count. */
static void begin_step(struct ring_walk *w, struct lane *l)
{
    bool all = !l->at.instead && tellers_tells_all(w->tellers, l->at.step);
    w->bytes -= l->keys.len - l->keys_before;
    l->keys.len = l->keys_before;
    l->n = l->n_before;
    l->begun = true;
    if (w->kind == RANDOM && w->tries)
        l->phase = LANE_RANDOM;
    else
        l->phase = w->kind == COUNT && all ? LANE_SIZE : LANE_SCAN;
}

/* The next part of the ring, if there is one. */
static bool next_part(struct ring_walk *w, struct lane *l)
{
    unsigned n = tellers_steps(w->tellers);
    if (w->kind == RANDOM && !w->wrapped) { /* from where it began to the end, then the rest */
        w->wrapped = true;
        l->at = (struct tellers_walk){.step = 0};
        l->end = w->place;
    } else if (w->kind == RANDOM || w->next_place >= n) {
        return false;
    } else {
        l->at = (struct tellers_walk){.step = w->next_place};
        l->end = w->next_place = tellers_behind(w->tellers, w->next_place);
    }
    return l->at.step < l->end;
}

/* To where something is to be asked. False: it is done, or nobody can tell (then it is answered).
 */
static bool find_next(struct ring_walk *w, struct lane *l)
{
    while (l->at.step >= l->end)
        if (w->kind == SCAN || !next_part(w, l)) {
            l->phase = LANE_DONE;
            return false;
        }
    struct tellers_walk before = l->at;
    if (!tellers_settle(w->tellers, &l->at, can_ask, w)) {
        answer_error(w, *w->failure ? w->failure
                                    : "NOQUORUM 0 of 1 needed replicas answered (DC_ONE read); "
                                      "nobody is up who could tell some of the keys");
        return false;
    }
    if (!l->begun || l->at.step != before.step || l->at.instead != before.instead)
        begin_step(w, l);
    return true;
}

/* One that is silent isn't waited for alone, where another may tell. */
static void look_at_silent(struct ring_walk *w, struct lane *l, uint64_t now)
{
    struct tellers_walk at = l->at;
    if (now < l->patient_ms)
        return;
    unsigned node = tellers_asked(w->tellers, &l->at);
    uint8_t bit = (uint8_t)(1u << node % 8);
    w->failed[node / 8] |= bit;
    if (tellers_settle(w->tellers, &at, can_ask, w))
        abandon(l);
    else
        w->failed[node / 8] &= (uint8_t)~bit;
}

static void lane_go_on(struct ring_walk *w, struct lane *l, uint64_t now)
{
    for (unsigned i = 0; i < PAGES_A_TURN && w->call; i++) {
        if (l->ask)
            look_at_silent(w, l, now);
        if (l->ask || l->phase == LANE_DONE || !find_next(w, l))
            return;
        ask(w, l);
    }
}

static bool is_done(const struct ring_walk *w)
{
    for (unsigned i = 0; i < w->nlanes; i++)
        if (w->lanes[i].phase != LANE_DONE)
            return false;
    return true;
}

static bool waits_for_nobody(const struct ring_walk *w)
{
    for (unsigned i = 0; i < w->nlanes; i++)
        if (!w->lanes[i].ask && w->lanes[i].phase != LANE_DONE)
            return true;
    return false;
}

static void walk_go_on(struct ring_walk *w, uint64_t now)
{
    if (!w->call->client) {
        answer(w, slice_of("", 0)); /* nobody hears it */
        return;
    }
    if (now >= w->deadline_ms) {
        answer_timeout(w);
        return;
    }
    for (unsigned i = 0; i < w->nlanes && w->call; i++)
        lane_go_on(w, &w->lanes[i], now);
    if (w->call && is_done(w))
        answer_whole(w);
}

void ring_walks_go_on(struct clients *all)
{
    uint64_t now = clock_mono_ms();
    bool again = false;
    for (struct ring_walk **at = &all->walks; *at;) {
        struct ring_walk *w = *at;
        if (w->call)
            walk_go_on(w, now);
        if (!w->call) {
            walk_free(at);
            continue;
        }
        again |= waits_for_nobody(w);
        at = &w->next;
    }
    if (again)
        actor_again(all->worker);
}

void ring_walks_end(struct clients *all)
{
    while (all->walks) {
        if (all->walks->call)
            answer_error(all->walks, "TIMEOUT this node stops");
        walk_free(&all->walks);
    }
    tellers_free(all->tellers);
    all->tellers = NULL;
}

/* ---- the beginning ------------------------------------------------------------------------------
 */

static struct ring_walk *walk_new(struct client *c, const struct command_spec *spec, int kind)
{
    struct ring_walk *w = MEM_NEW(struct ring_walk);
    w->all = c->all;
    w->kind = kind;
    w->deadline_ms = clock_mono_ms() + c->all->config->timeout;
    w->tellers = tellers_ref(ring_tellers(c->all));
    w->call = ring_call(c, spec);
    w->nlanes = 1;
    w->next = c->all->walks;
    c->all->walks = w;
    return w;
}

/* What the client wishes, within bounds. */
static void add_scan_options(struct ring_walk *w, const struct resp_command *cmd)
{
    char most[24];
    int64_t n;
    snprintf(most, sizeof most, "%d", COUNT_MAX);
    resp_add_array(&w->options, cmd->argc - 1);
    resp_add_bulk_str(&w->options, "OPTIONS");
    for (size_t i = 2; i < cmd->argc; i++) {
        bool count = i % 2 == 1 && slice_is(cmd->argv[i - 1], "COUNT") &&
                     slice_to_i64(cmd->argv[i], &n) && n > COUNT_MAX;
        resp_add_bulk(&w->options, count ? slice_str(most) : cmd->argv[i]);
    }
}

static bool parse_cursor(struct slice s, uint64_t *out)
{
    uint64_t v = 0; /* of no digit at all, as to Redis */
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
            return false;
    *out = v;
    return true;
}

static void start_scan(struct client *c, const struct command_spec *spec)
{
    uint64_t cursor;
    struct tellers_walk at;
    if (!parse_cursor(c->cmd.argv[1], &cursor) ||
        !tellers_read(ring_tellers(c->all), cursor, &at)) {
        ring_reply_error(ring_call(c, spec), "ERR invalid cursor");
        return;
    }
    struct ring_walk *w = walk_new(c, spec, SCAN);
    add_scan_options(w, &c->cmd);
    w->lanes[0] = (struct lane){.at = at, .end = tellers_steps(w->tellers)};
}

static void start_keys(struct client *c, const struct command_spec *spec)
{
    char count[24];
    struct ring_walk *w = walk_new(c, spec, KEYS);
    snprintf(count, sizeof count, "%d", PAGE);
    const struct slice argv[5] = {slice_str("OPTIONS"), slice_str("MATCH"), c->cmd.argv[1],
                                  slice_str("COUNT"), slice_str(count)};
    resp_add_command(&w->options, argv, 5);
    w->nlanes = LANES_MAX;
}

static void start_random(struct client *c, const struct command_spec *spec)
{
    struct ring_walk *w = walk_new(c, spec, RANDOM);
    uint64_t now = clock_mono_us();
    w->place = tellers_place(w->tellers, (uint32_t)XXH64(&now, sizeof now, 1));
    w->tries = RANDOM_TRIES;
    w->lanes[0] = (struct lane){
        .at = {.step = w->place}, .end = tellers_steps(w->tellers), .phase = LANE_RANDOM};
}

bool ring_walk(struct client *c, const struct command_spec *spec)
{
    if (!ring_may_start(c))
        return false;
    if (strcmp(spec->name, "SCAN") == 0)
        start_scan(c, spec);
    else if (strcmp(spec->name, "KEYS") == 0)
        start_keys(c, spec);
    else if (strcmp(spec->name, "RANDOMKEY") == 0)
        start_random(c, spec);
    else
        walk_new(c, spec, COUNT)->nlanes = LANES_MAX;
    return true;
}
