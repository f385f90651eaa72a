#include "gossip/seed_list.h"
#include "core/mem.h"
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *seed_address(const struct config_seed *s, char out[ADDRESS_TEXT_SIZE])
{
    snprintf(out, ADDRESS_TEXT_SIZE, strchr(s->host, ':') ? "[%.255s]:%u" : "%.255s:%u", s->host,
             s->port);
    return out;
}

void seed_list_fini(struct seed_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        config_seed_fini(&l->seed[i]);
    mem_free(l->seed);
    *l = (struct seed_list)SEED_LIST_INIT;
}

static void pass_over(struct seed_list *l, const char *why)
{
    if (l->bad++ == 0)
        (void)error_set(&l->first, "%s", why);
}

bool seed_list_has(const struct seed_list *l, const struct config_seed *s)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->seed[i].port == s->port && strcasecmp(l->seed[i].host, s->host) == 0)
            return true;
    return false;
}

/* Takes what `s` has. */
static void take(struct seed_list *l, struct config_seed *s)
{
    bool known = seed_list_has(l, s);
    if (!known && l->n < SEED_LIST_MAX) {
        l->seed = mem_realloc(l->seed, (l->n + 1) * sizeof *l->seed);
        l->seed[l->n++] = *s;
        return;
    }
    config_seed_fini(s);
    if (!known)
        pass_over(l, "too many seeds");
}

void seed_list_add(struct seed_list *l, const struct config_seed *s)
{
    struct config_seed copy = {
        .host = mem_strdup(s->host),
        .port = s->port,
        .rack = s->rack ? mem_strdup(s->rack) : NULL,
        .datacenter = s->datacenter ? mem_strdup(s->datacenter) : NULL,
        .tokens = s->ntokens ? mem_dup(s->tokens, s->ntokens * sizeof *s->tokens) : NULL,
        .ntokens = s->ntokens};
    take(l, &copy);
}

void seed_list_add_all(struct seed_list *l, const struct seed_list *from)
{
    for (size_t i = 0; i < from->n; i++)
        seed_list_add(l, &from->seed[i]);
}

/* ---- addresses ---------------------------------------------------------------------------------
 */

/* A zone (fe80::1%eth0) isn't kept: an address that only this machine can read is no seed. */
void seed_list_add_address(struct seed_list *l, const struct sockaddr *a, uint16_t port)
{
    char host[INET6_ADDRSTRLEN];
    const void *bytes = NULL;
    if (a->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)a)->sin_addr;
    else if (a->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
    if (!bytes || !inet_ntop(a->sa_family, bytes, host, sizeof host)) {
        pass_over(l, "an address that is neither IPv4 nor IPv6");
        return;
    }
    struct config_seed s = {.host = mem_strdup(host), .port = port};
    take(l, &s);
}

/* ---- texts -------------------------------------------------------------------------------------
 */

/* Whoever wrote the text may have written anything into it, and an error may come into a log. */
static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < ' ' || s.ptr[i] >= 0x7f)
            return false;
    return true;
}

static void add_entry(struct seed_list *l, struct slice s)
{
    char text[SEED_TEXT_MAX + 1];
    struct config_seed seed;
    struct error e;
    if (s.len > SEED_TEXT_MAX || !is_plain(s)) {
        pass_over(l, s.len > SEED_TEXT_MAX ? "found an entry that is too long"
                                           : "found an entry with characters that aren't plain");
        return;
    }
    memcpy(text, s.ptr, s.len);
    text[s.len] = 0;
    if (config_seed_parse(text, &seed, &e))
        take(l, &seed);
    else
        pass_over(l, e.text);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice trimmed(struct slice s)
{
    while (s.len && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

void seed_list_add_text(struct seed_list *l, struct slice text)
{
    size_t at = 0;
    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && text.ptr[i] != '|' && text.ptr[i] != '\n')
            continue;
        struct slice entry = trimmed(slice_of(text.ptr + at, i - at));
        if (entry.len)
            add_entry(l, entry);
        at = i + 1;
    }
}

/* ---- DNS answers -------------------------------------------------------------------------------
 */

/* A record's strings, each behind its length, make one text. */
static bool join_strings(struct buf *out, const uint8_t *data, size_t len)
{
    while (len) {
        size_t n = data[0];
        if (n + 1 > len)
            return false;
        buf_add(out, data + 1, n);
        data += n + 1;
        len -= n + 1;
    }
    return true;
}

static bool read_answers(const uint8_t *packet, size_t len, struct buf *text)
{
    ns_msg m;
    ns_rr r;
    if (len > NS_MAXMSG || ns_initparse(packet, (int)len, &m) < 0)
        return false;
    for (int i = 0; i < ns_msg_count(m, ns_s_an); i++) {
        if (ns_parserr(&m, ns_s_an, i, &r) < 0)
            return false;
        if (ns_rr_type(r) != ns_t_txt || ns_rr_class(r) != ns_c_in)
            continue;
        if (!join_strings(text, ns_rr_rdata(r), ns_rr_rdlen(r)))
            return false;
        buf_add_str(text, "\n");
    }
    return true;
}

bool seed_list_add_txt(struct seed_list *l, const uint8_t *packet, size_t len, struct error *e)
{
    struct buf text = BUF_INIT;
    bool ok = read_answers(packet, len, &text);
    if (ok)
        seed_list_add_text(l, buf_slice(&text));
    else
        (void)error_set(e, "found a malformed answer of the name server");
    buf_fini(&text);
    return ok;
}
