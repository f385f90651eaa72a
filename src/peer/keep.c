#include "peer/keep.h"
#include "core/clock.h"
#include "core/datadir.h"
#include "core/mem.h"
#include <errno.h>
#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define SMALL_FILE 4096
#define CLOCK_WALL_MS                                                                              \
    1000 /* how far stamps may go with the wall clock before the first keep_start */
#define PEERS_FILE (16u * 1024 * 1024)

/* RFC 4122, version 4. */
static void make_uuid(char id[NODE_ID_SIZE])
{
    uint8_t r[16];
    if (RAND_bytes(r, sizeof r) != 1)
        abort();
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    snprintf(id, NODE_ID_SIZE,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1],
             r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14],
             r[15]);
}

bool keep_is_id(const char *s)
{
    return strlen(s) == NODE_ID_SIZE - 1 && strspn(s, "0123456789abcdef-") == NODE_ID_SIZE - 1;
}

bool keep_load_id(const char *data_dir, char id[NODE_ID_SIZE], bool *used, struct error *e)
{
    char *path = mem_printf("%s/node_id", data_dir);
    struct buf b = BUF_INIT;
    bool missing = false, ok = file_read(path, SMALL_FILE, &b, &missing, e);
    if (ok && !missing) {
        buf_add(&b, "", 1);
        char *text = (char *)(uintptr_t)buf_head(&b);
        text[strcspn(text, "\n")] = 0;
        ok = keep_is_id(text) || error_set(e, "%s: found '%.40s'; allowed a UUID", path, text);
        if (ok)
            memcpy(id, text, NODE_ID_SIZE);
    } else if (ok) {
        char line[NODE_ID_SIZE + 1];
        make_uuid(id);
        snprintf(line, sizeof line, "%s\n", id);
        ok = file_replace(path, slice_str(line), e);
    }
    if (ok)
        *used = !missing;
    buf_fini(&b);
    mem_free(path);
    return ok;
}

/* The file as whole lines and a final NUL. One that ends in the middle of a line was cut off by
 * somebody: what it lacks can't be guessed, and much hangs on it (numbers, the clock, the names of
 * logs). */
static bool read_lines(const char *path, size_t max, struct buf *b, bool *missing, struct error *e)
{
    if (!file_read(path, max, b, missing, e))
        return false;
    if (!*missing && (b->len == 0 || buf_head(b)[b->len - 1] != '\n'))
        return error_set(e, "%s: no end of line after %zu bytes: it was cut off", path, b->len);
    buf_add(b, "", 1);
    return true;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool parse_number(const char *text, size_t n, uint64_t *out)
{
    int64_t v;
    if (!slice_to_i64(slice_of(text, n), &v) || v < 0)
        return false;
    *out = (uint64_t)v;
    return true;
}

/* "mark clock seen"; a file of two numbers has no `seen`. */
static bool parse_start(const char *path, const char *line, struct keep_start *out, struct error *e)
{
    uint64_t *const to[] = {&out->mark, &out->clock_ms, &out->seen_ms};
    const char *p = line, *end = line + strcspn(line, "\n");
    for (size_t i = 0; i < ARRAY_LEN(to); i++) {
        size_t len = strcspn(p, " \n");
        if (!parse_number(p, len, to[i]))
            break;
        p += len;
        if (p == end && i > 0)
            return true;
        p++;
    }
    int shown = (int)(end - line < 40 ? end - line : 40);
    return error_set(e, "%s: found '%.*s'; allowed two or three numbers", path, shown, line);
}

bool keep_start(const char *data_dir, const struct keep_start *s, struct error *e)
{
    char *path = mem_printf("%s/start", data_dir), line[80];
    snprintf(line, sizeof line, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", s->mark, s->clock_ms,
             s->seen_ms);
    bool ok = file_replace(path, slice_str(line), e);
    mem_free(path);
    return ok;
}

bool keep_next_start(const char *data_dir, uint64_t least, struct keep_start *last, uint64_t *mark,
                     struct error *e)
{
    char *path = mem_printf("%s/start", data_dir);
    struct buf b = BUF_INIT;
    struct keep_start found = {0};
    bool missing = false, ok = read_lines(path, SMALL_FILE, &b, &missing, e);
    if (ok && !missing)
        ok = parse_start(path, (const char *)buf_head(&b), &found, e);
    struct keep_start next = found;
    uint64_t now = clock_wall_ms(), by_wall = now + CLOCK_WALL_MS;
    next.mark = larger(larger(found.mark + 1, now / 1000), least);
    next.clock_ms = larger(by_wall, found.clock_ms + KEEP_COUNT_MS);
    if (ok && next.mark > UINT32_MAX)
        ok = error_set(e, "%s: start mark %" PRIu64 " found; allowed at most %u", path, next.mark,
                       UINT32_MAX);
    ok = ok && keep_start(data_dir, &next, e);
    if (ok) {
        *mark = next.mark;
        *last = found;
    }
    buf_fini(&b);
    mem_free(path);
    return ok;
}

static void add_tokens(struct buf *b, const struct ring_node *n)
{
    for (size_t i = 0; i < n->ntokens; i++)
        buf_printf(b, "%s%u", i ? "," : "", n->tokens[i]);
}

static void add_place(struct buf *b, const struct ring_node *n)
{
    buf_printf(b, "%s %s ", n->datacenter, n->rack);
    add_tokens(b, n);
}

bool keep_membership(const char *data_dir, const struct ring_node *self,
                     const struct keep_membership *m, struct error *e)
{
    char *path = mem_printf("%s/place", data_dir);
    struct buf b = BUF_INIT;
    bool ok;
    if (m->settled) {
        buf_printf(&b, "%d ", m->serves);
        add_place(&b, self);
        buf_add_str(&b, "\n");
        ok = file_replace(path, buf_slice(&b), e);
    } else {
        ok = unlink(path) == 0 || errno == ENOENT || error_set(e, "%s: %s", path, strerror(errno));
    }
    buf_fini(&b);
    mem_free(path);
    return ok;
}

bool keep_load_membership(const char *data_dir, const struct ring_node *self,
                          struct keep_membership *out, struct error *e)
{
    char *path = mem_printf("%s/place", data_dir);
    struct buf b = BUF_INIT, here = BUF_INIT;
    bool missing = false, ok = read_lines(path, PEERS_FILE, &b, &missing, e);
    add_place(&here, self);
    buf_add_str(&here, "\n");
    const char *line = (const char *)buf_head(&b);
    *out = (struct keep_membership){0};
    if (ok && !missing && line[0] && line[1] == ' ' &&
        slice_eq(buf_slice(&here), slice_str(line + 2)))
        *out = (struct keep_membership){.settled = true, .serves = line[0] == '1'};
    buf_fini(&here);
    buf_fini(&b);
    mem_free(path);
    return ok;
}

/* Is the line about a node of the ring, or about one whose place another has now? */
static bool is_replaced(const struct topology *t, const char *line)
{
    const char *address = strchr(line, ' ');
    const char *place = address ? strchr(address + 1, ' ') : NULL;
    bool replaced = !place;
    for (unsigned i = 0; i < t->n && !replaced; i++) {
        struct buf b = BUF_INIT;
        add_place(&b, &t->nodes[i]);
        bool same_id = *t->nodes[i].id && strncmp(line, t->nodes[i].id, NODE_ID_SIZE - 1) == 0;
        replaced = same_id || (*t->nodes[i].id && slice_eq(buf_slice(&b), slice_str(place + 1)));
        buf_fini(&b);
    }
    return replaced;
}

/* What is known of nodes that the configuration doesn't name now: it may name them again. */
static void add_departed(const char *path, const struct topology *t, struct buf *out)
{
    struct buf b = BUF_INIT;
    struct error e;
    bool missing = false;
    bool ok = read_lines(path, PEERS_FILE, &b, &missing, &e) && !missing;
    char *save = NULL, *text = (char *)(uintptr_t)buf_head(&b);
    for (char *line = ok ? strtok_r(text, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save))
        if (!is_replaced(t, line))
            buf_printf(out, "%s\n", line);
    buf_fini(&b);
}

bool keep_peers(const char *data_dir, const struct topology *t, struct error *e)
{
    struct buf b = BUF_INIT;
    for (unsigned i = 0; i < t->n; i++) {
        if (i == t->self || !t->nodes[i].id[0])
            continue;
        buf_printf(&b, "%s %s ", t->nodes[i].id, t->nodes[i].address);
        add_place(&b, &t->nodes[i]);
        buf_add_str(&b, "\n");
    }
    char *path = mem_printf("%s/peers", data_dir);
    add_departed(path, t, &b);
    /* the ring changes also before anybody was met; a file without a line would look cut off */
    bool ok = b.len == 0 || file_replace(path, buf_slice(&b), e);
    mem_free(path);
    buf_fini(&b);
    return ok;
}

/* A line's place, as add_place writes it, against each node's. */
static void match_line(const char *id, const char *place, struct ring_node *nodes, unsigned n,
                       unsigned self)
{
    for (unsigned i = 0; i < n; i++) {
        if (i == self)
            continue;
        struct buf b = BUF_INIT;
        add_place(&b, &nodes[i]);
        if (slice_eq(buf_slice(&b), slice_str(place)))
            memcpy(nodes[i].id, id, NODE_ID_SIZE);
        buf_fini(&b);
    }
}

bool keep_load_peers(const char *data_dir, struct ring_node *nodes, unsigned n, unsigned self,
                     struct error *e)
{
    char *path = mem_printf("%s/peers", data_dir);
    struct buf b = BUF_INIT;
    bool missing = false, ok = read_lines(path, PEERS_FILE, &b, &missing, e);
    if (ok && !missing && strlen((const char *)buf_head(&b)) != b.len - 1)
        ok = error_set(e, "%s: a NUL byte found; allowed id address datacenter rack tokens", path);
    if (!ok)
        buf_reset(&b, 0);
    char *save = NULL, *text = (char *)(uintptr_t)buf_head(&b);
    for (char *line = strtok_r(text, "\n", &save); ok && line; line = strtok_r(NULL, "\n", &save)) {
        char *address = strchr(line, ' ');
        char *place = address ? strchr(address + 1, ' ') : NULL;
        if (address)
            *address = 0;
        if (!place || !keep_is_id(line))
            ok = error_set(e, "%s: found '%.40s'; allowed id address datacenter rack tokens", path,
                           line);
        else
            match_line(line, place + 1, nodes, n, self);
    }
    buf_fini(&b);
    mem_free(path);
    return ok;
}

/* ---- the ring ----------------------------------------------------------------------------------
 */

static bool stands_there(const char *path, struct slice content)
{
    struct buf b = BUF_INIT;
    struct error ignored;
    bool missing = false;
    bool same = file_read(path, PEERS_FILE, &b, &missing, &ignored) && !missing &&
                slice_eq(buf_slice(&b), content);
    buf_fini(&b);
    return same;
}

static const char *const role_words[] = {
    [RING_MEMBER] = "", [RING_JOINING] = "\tjoining", [RING_GONE] = "\tgone"};

bool keep_ring(const char *path, const struct topology *t, struct error *e)
{
    struct buf b = BUF_INIT;
    for (unsigned i = 0; i < t->n; i++) {
        const struct ring_node *n = &t->nodes[i];
        buf_printf(&b, "%s\t%s\t%s\t%s\t", n->id[0] ? n->id : "-", n->address, n->datacenter,
                   n->rack);
        add_tokens(&b, n);
        buf_add_str(&b, role_words[n->role]);
        buf_add_str(&b, "\n");
    }
    bool ok = stands_there(path, buf_slice(&b)) || file_replace(path, buf_slice(&b), e);
    buf_fini(&b);
    return ok;
}

/* "1,2,3": how many; 0: it isn't that. */
static size_t parse_tokens(char *text, uint32_t **out)
{
    size_t n = 0;
    char *save = NULL;
    for (char *t = strtok_r(text, ",", &save); t; t = strtok_r(NULL, ",", &save)) {
        uint64_t v;
        if (!parse_number(t, strlen(t), &v) || v > UINT32_MAX)
            return 0;
        *out = mem_realloc(*out, (n + 1) * sizeof **out);
        (*out)[n++] = (uint32_t)v;
    }
    return n;
}

static bool parse_role(const char *text, enum ring_role *out)
{
    for (size_t i = 1; text && i < ARRAY_LEN(role_words); i++)
        if (strcmp(text, role_words[i] + 1) == 0)
            *out = (enum ring_role)i;
    return !text || *out != RING_MEMBER;
}

/* The strings stay in `line`, which is cut up. */
static bool parse_node(char *line, struct ring_node *n)
{
    char *save = NULL, *word[5], *text = line;
    uint32_t *tokens = NULL;
    *n = (struct ring_node){.address = NULL};
    for (size_t i = 0; i < ARRAY_LEN(word); i++, text = NULL)
        if (!(word[i] = strtok_r(text, "\t", &save)))
            return false;
    if (strcmp(word[0], "-") != 0 && !keep_is_id(word[0]))
        return false;
    snprintf(n->id, sizeof n->id, "%s", *word[0] == '-' ? "" : word[0]);
    n->address = word[1];
    n->datacenter = word[2];
    n->rack = word[3];
    n->ntokens = parse_tokens(word[4], &tokens);
    n->tokens = tokens;
    return n->ntokens > 0 && parse_role(strtok_r(NULL, "\t", &save), &n->role);
}

static bool parse_ring(const char *path, char *text, struct topology **out, struct error *e)
{
    struct ring_node *nodes = NULL;
    struct error why = {""};
    unsigned n = 0;
    bool ok = true;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); ok && line; line = strtok_r(NULL, "\n", &save)) {
        nodes = mem_realloc(nodes, (n + 1) * sizeof *nodes);
        ok = parse_node(line, &nodes[n++]) ||
             error_set(&why, "found '%.40s'; allowed id address datacenter rack tokens", line);
    }
    *out = ok ? topology_new(nodes, n, 0, &why) : NULL;
    for (unsigned i = 0; i < n; i++)
        mem_free((void *)(uintptr_t)nodes[i].tokens);
    mem_free(nodes);
    return *out || error_set(e, "%s: %.400s", path, why.text);
}

bool keep_load_ring(const char *path, struct topology **out, struct error *e)
{
    struct buf b = BUF_INIT;
    bool missing = false, ok = read_lines(path, PEERS_FILE, &b, &missing, e);
    *out = NULL;
    if (ok && !missing)
        ok = parse_ring(path, (char *)(uintptr_t)buf_head(&b), out, e);
    buf_fini(&b);
    return ok;
}

void keep_new_name(const struct ring_node *n, char out[NODE_ID_SIZE])
{
    char *text = mem_printf("%s %s %u", n->datacenter, n->rack, n->tokens[0]);
    snprintf(out, NODE_ID_SIZE, "new-%016" PRIx64, (uint64_t)XXH64(text, strlen(text), 0));
    mem_free(text);
}
