#include "client/unread.h"
#include "core/address.h"
#include "core/log.h"
#include <inttypes.h>

#define PATIENCE_MS 2000                   /* longer than a lost packet costs */
#define PILE_ROOM   (256ull * 1024 * 1024) /* of a worker's clients together */
#define PILE_TURN   (1024ull * 1024)       /* of them, in one turn: others come between */
#define TIMEOUTS    12                     /* without a byte taken: nobody is there */

static uint64_t pile_room(const struct clients *all)
{
    uint64_t cap = all->config->client_output_max_bytes;
    return cap > PILE_ROOM ? cap : PILE_ROOM;
}

/* What waits for it, and what is expected of the commands that it has in flight. */
static size_t expected(const struct client *c)
{
    return unread_bytes(c) + c->ncalls * c->guess;
}

bool unread_piles_up(const struct client *c)
{
    return c->stuck && c->all->piled < pile_room(c->all) &&
           expected(c) < c->piled + c->all->pile_left;
}

void unread_turn(struct clients *all)
{
    all->pile_left = PILE_TURN;
}

static void count(struct client *c, size_t piled)
{
    c->all->piled += piled - c->piled;
    c->piled = piled;
}

static void cut_off(struct client *c, const char *why)
{
    struct address a;
    char addr[ADDRESS_TEXT_SIZE];
    if (c->stream.closed)
        return;
    address_of_socket(c->stream.fd, true, &a);
    address_format(&a, addr, sizeof addr);
    log_limited(1000, LOG_LEVEL_WARN,
                "client %" PRIu64 " (%s) is cut off: %zu bytes of replies unread, %s", c->id, addr,
                unread_bytes(c), why);
    STATS_ADD(c->all->stats, cut_off, 1);
    stream_close(&c->stream);
}

void unread_cut_off(struct client *c)
{
    char why[80];
    snprintf(why, sizeof why, "client_output_max_bytes is %" PRIu64,
             c->all->config->client_output_max_bytes);
    cut_off(c, why);
}

void unread_settle(struct client *c)
{
    if (c->stream.blocked)
        c->all->any_blocked = true;
    if (!c->stuck)
        return;
    c->stuck = c->stream.blocked && c->stream.sent == c->taken;
    size_t now = c->stuck ? expected(c) : 0, more = now > c->piled ? now - c->piled : 0;
    c->all->pile_left -= more < c->all->pile_left ? more : c->all->pile_left;
    count(c, now);
    if (!c->stuck || !c->stream.in.len)
        return;
    if (unread_bytes(c) >= c->all->config->client_output_max_bytes)
        unread_cut_off(c);
    else if (!c->ncalls && c->all->piled < pile_room(c->all))
        client_look_again(c);
}

void unread_gone(struct client *c)
{
    count(c, 0);
}

static void look_at(struct client *c, uint64_t now_ms)
{
    uint64_t most = (uint64_t)TIMEOUTS * c->all->config->timeout;
    char why[80];
    if (c->stream.sent != c->taken || !c->taken_ms) {
        c->taken = c->stream.sent;
        c->taken_ms = now_ms;
    } else if (now_ms - c->taken_ms >= most) {
        snprintf(why, sizeof why, "none taken for %" PRIu64 " ms (%d x timeout)", most, TIMEOUTS);
        cut_off(c, why);
    } else if (now_ms - c->taken_ms >= PATIENCE_MS && c->stream.in.len) {
        c->stuck = true;
        count(c, expected(c));
        client_mark_dirty(c);
    }
}

void clients_tick(struct clients *all, uint64_t now_ms)
{
    if (!all->any_blocked)
        return;
    all->any_blocked = false;
    for (struct client *c = all->first; c; c = c->next) {
        if (!c->stream.blocked || c->stream.closed)
            continue;
        all->any_blocked = true;
        look_at(c, now_ms);
    }
}
