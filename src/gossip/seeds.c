#include "gossip/seeds.h"
#include "core/log.h"
#include "core/mem.h"
#include "gossip/seed_source.h"
#include <netdb.h>
#include <stdio.h>
#include <string.h>

/* One lookup at a time, of one or two parts; the last part to end ends it. */
struct seeds {
    uv_loop_t *loop;
    const struct config *config;
    seeds_found *found;
    void *arg;
    uv_timer_t timer;
    bool hurry, stopping, timer_closed;
    unsigned under_way;
    struct seed_list fixed; /* dyn_seeds */
    struct seed_list known; /* what the provider said last */
    struct seed_list next;  /* what the lookup under way has found */
    char outcome[700];      /* what was logged last */
    struct error why;       /* of the lookup: the first part that failed */

    uv_getaddrinfo_t names;
    struct address name;
    uv_work_t work; /* in libuv's pool: TXT or HTTP; it owns these meanwhile */
    struct seed_list work_list;
    bool work_ok;
    struct error work_why;
};

bool seeds_none(const struct config *c)
{
    return c->nseeds == 0 && c->seed_provider == SEED_PROVIDER_SIMPLE;
}

static const char *provider(const struct seeds *s)
{
    return s->config->seed_provider == SEED_PROVIDER_DNS ? s->config->seeds_name
                                                         : s->config->seeds_url;
}

/* ---- the end of a lookup ----------------------------------------------------------------------
 */

static void look(struct seeds *s);

static void free_if_over(struct seeds *s)
{
    if (!s->timer_closed || s->under_way)
        return;
    seed_list_fini(&s->fixed);
    seed_list_fini(&s->known);
    seed_list_fini(&s->next);
    seed_source_end();
    mem_free(s);
}

static void on_timer(uv_timer_t *t)
{
    look(t->data);
}

/* Each outcome is told once, until there is another. */
static void tell(struct seeds *s)
{
    char outcome[sizeof s->outcome] = "";
    if (s->next.n == 0)
        snprintf(outcome, sizeof outcome, "no seeds from %.100s (%.300s); tried again for ever",
                 provider(s), *s->why.text ? s->why.text : s->next.first.text);
    else if (s->next.bad)
        snprintf(outcome, sizeof outcome, "%zu seeds from %.100s; %zu entries passed over: %.300s",
                 s->next.n, provider(s), s->next.bad, s->next.first.text);
    else
        snprintf(outcome, sizeof outcome, "%zu seeds from %.100s", s->next.n, provider(s));
    if (strcmp(outcome, s->outcome) == 0)
        return;
    log_at(s->next.n && !s->next.bad ? LOG_LEVEL_NOTICE : LOG_LEVEL_WARN, "%s", outcome);
    memcpy(s->outcome, outcome, sizeof outcome);
}

static void take_what_came(struct seeds *s)
{
    tell(s);
    if (s->next.n) {
        seed_list_fini(&s->known);
        s->known = s->next;
        s->next = (struct seed_list)SEED_LIST_INIT;
    }
    seed_list_fini(&s->next);
}

static void part_ended(struct seeds *s)
{
    if (--s->under_way)
        return;
    if (s->stopping) {
        free_if_over(s);
        return;
    }
    if (s->config->seed_provider != SEED_PROVIDER_SIMPLE)
        take_what_came(s);
    uv_timer_start(&s->timer, on_timer, s->hurry ? SEEDS_HURRY_MS : SEEDS_INTERVAL_MS, 0);
    if (s->found)
        s->found(s->arg);
}

static void part_failed(struct seeds *s, const char *why)
{
    if (!*s->why.text)
        (void)error_set(&s->why, "%s", why);
}

/* ---- its parts --------------------------------------------------------------------------------
 */

static void on_names(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct seeds *s = req->data;
    if (status < 0)
        part_failed(s, uv_strerror(status));
    for (const struct addrinfo *a = status < 0 ? NULL : found; a; a = a->ai_next)
        seed_list_add_address(&s->next, a->ai_addr, s->name.port);
    uv_freeaddrinfo(found);
    part_ended(s);
}

static void work_in_pool(uv_work_t *work)
{
    struct seeds *s = work->data;
    s->work_ok = s->config->seed_provider == SEED_PROVIDER_DNS
                     ? seed_source_txt(s->name.host, &s->work_list, &s->work_why)
                     : seed_source_http(s->config->seeds_url, &s->work_list, &s->work_why);
}

/* An entry that names rack and tokens says more than its address alone. */
static void merge(struct seeds *s, struct seed_list *told)
{
    struct seed_list addresses = s->next;
    s->next = *told;
    seed_list_add_all(&s->next, &addresses);
    *told = (struct seed_list)SEED_LIST_INIT;
    seed_list_fini(&addresses);
}

static void on_work_end(uv_work_t *work, int status)
{
    struct seeds *s = work->data;
    if (status < 0 || !s->work_ok)
        part_failed(s, status < 0 ? uv_strerror(status) : s->work_why.text);
    merge(s, &s->work_list);
    part_ended(s);
}

/* A part that can't even begin has failed. */
static void begin(struct seeds *s, int rc)
{
    if (rc == 0)
        return;
    part_failed(s, uv_strerror(rc));
    part_ended(s);
}

static void look_up_names(struct seeds *s)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    s->names.data = s;
    begin(s, uv_getaddrinfo(s->loop, &s->names, on_names, s->name.host, NULL, &hints));
}

static void look_up_in_pool(struct seeds *s)
{
    s->work.data = s;
    s->work_why = (struct error){""};
    begin(s, uv_queue_work(s->loop, &s->work, work_in_pool, on_work_end));
}

static void look(struct seeds *s)
{
    enum seed_provider from = s->config->seed_provider;
    uv_timer_stop(&s->timer);
    s->why = (struct error){""};
    s->under_way = from == SEED_PROVIDER_DNS ? 2 : 1;
    if (from == SEED_PROVIDER_SIMPLE) {
        part_ended(s);
        return;
    }
    if (from == SEED_PROVIDER_DNS)
        look_up_names(s);
    look_up_in_pool(s);
}

/* ---- outside ----------------------------------------------------------------------------------
 */

static void name_of(const struct config *c, struct address *out)
{
    struct address peers;
    uint16_t port = address_parse(c->dyn_listen, ADDRESS_TCP_ONLY, &peers, NULL) ? peers.port : 0;
    if (!address_parse_host(c->seeds_name, port, out, NULL))
        log_error("seeds_name: %s is neither a host nor host:port", c->seeds_name);
}

struct seeds *seeds_new(uv_loop_t *loop, const struct config *c, seeds_found *found, void *arg)
{
    struct seeds *s = MEM_NEW(struct seeds);
    struct error e;
    *s = (struct seeds){.loop = loop, .config = c, .found = found, .arg = arg, .hurry = true};
    if (!seed_source_start(&e))
        log_error("%s", e.text);
    for (size_t i = 0; i < c->nseeds; i++)
        seed_list_add(&s->fixed, &c->seeds[i]);
    if (c->seed_provider == SEED_PROVIDER_DNS)
        name_of(c, &s->name);
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    uv_timer_start(&s->timer, on_timer, 0, 0);
    return s;
}

void seeds_each(const struct seeds *s,
                void (*fn)(void *arg, const char *address, const struct config_seed *seed),
                void *arg)
{
    const char *own = s->config->advertise ? s->config->advertise : s->config->dyn_listen;
    char address[ADDRESS_TEXT_SIZE];
    for (size_t i = 0; i < s->fixed.n + s->known.n; i++) {
        bool fixed = i < s->fixed.n;
        const struct config_seed *seed = fixed ? &s->fixed.seed[i] : &s->known.seed[i - s->fixed.n];
        if (strcmp(seed_address(seed, address), own) != 0 &&
            (fixed || !seed_list_has(&s->fixed, seed)))
            fn(arg, address, seed);
    }
}

void seeds_hurry(struct seeds *s, bool on)
{
    bool before = s->hurry;
    s->hurry = on;
    if (on != before && !s->under_way)
        uv_timer_start(&s->timer, on_timer, on ? 0 : SEEDS_INTERVAL_MS, 0);
}

static void on_timer_closed(uv_handle_t *h)
{
    struct seeds *s = h->data;
    s->timer_closed = true;
    free_if_over(s);
}

void seeds_stop(struct seeds *s)
{
    s->stopping = true;
    if (s->under_way) { /* what hasn't begun never will; the rest ends by itself */
        (void)uv_cancel((uv_req_t *)&s->names);
        (void)uv_cancel((uv_req_t *)&s->work);
    }
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}
