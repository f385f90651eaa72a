#include "store/memcached_wire.h"
#include "wire/base64.h"
#include <inttypes.h>
#include <stdio.h>

#define UNIQUE_BITS MEMCACHE_UNIQUE_BITS
#define UNIQUE_MASK (((uint64_t)1 << UNIQUE_BITS) - 1)
#define REPLY_LINE_MAX                                                                             \
    2048u /* of memcached's replies; metadata of an item is longer than its key */

/* ---- words and numbers ---------------------------------------------------------------------- */

bool memcached_number(struct slice text, uint64_t *out)
{
    uint64_t v = 0;
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = text.ptr[i] - (unsigned)'0';
        if (digit > 9 || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

struct slice memcached_line(struct slice reply)
{
    const uint8_t *end = reply.len ? memchr(reply.ptr, '\n', reply.len) : NULL;
    size_t n = end ? (size_t)(end - reply.ptr) : reply.len;
    if (n && reply.ptr[n - 1] == '\r')
        n--;
    return slice_of(reply.ptr, n);
}

bool memcached_word(struct slice *line, struct slice *word)
{
    while (line->len && *line->ptr == ' ')
        *line = slice_of(line->ptr + 1, line->len - 1);
    const uint8_t *blank = line->len ? memchr(line->ptr, ' ', line->len) : NULL;
    *word = slice_of(line->ptr, blank ? (size_t)(blank - line->ptr) : line->len);
    *line = slice_of(line->ptr + word->len, line->len - word->len);
    return word->len > 0;
}

static bool begins(struct slice s, const char *with)
{
    return s.len >= strlen(with) && memcmp(s.ptr, with, strlen(with)) == 0;
}

bool memcached_is_error(struct slice reply)
{
    return begins(reply, "ERROR") || begins(reply, "CLIENT_ERROR ") ||
           begins(reply, "SERVER_ERROR ");
}

bool memcached_names_peer(struct slice reply, const char *host, uint16_t port)
{
    char end[8];
    size_t n = (size_t)snprintf(end, sizeof end, ":%u", port), h = strlen(host);
    struct slice line, word;
    while (line = memcached_line(reply), line.len) {
        const uint8_t *next = memchr(reply.ptr, '\n', reply.len);
        size_t size = next ? (size_t)(next - reply.ptr) + 1 : reply.len;
        reply = slice_of(reply.ptr + size, reply.len - size);
        (void)memcached_word(&line, &word); /* STAT */
        bool addr = memcached_word(&line, &word) && word.len > 5 &&
                    memcmp(word.ptr + word.len - 5, ":addr", 5) == 0;
        if (addr && memcached_word(&line, &word) && word.len > n + h &&
            memcmp(word.ptr + word.len - n, end, n) == 0 && memmem(word.ptr, word.len, host, h))
            return true;
    }
    return false;
}

bool memcached_stat(struct slice reply, const char *name, struct slice *value)
{
    struct slice line, word;
    while (line = memcached_line(reply), line.len) {
        const uint8_t *next = memchr(reply.ptr, '\n', reply.len);
        size_t size = next ? (size_t)(next - reply.ptr) + 1 : reply.len;
        reply = slice_of(reply.ptr + size, reply.len - size);
        if (memcached_word(&line, &word) && slice_eq(word, slice_str("STAT")) &&
            memcached_word(&line, &word) && slice_eq(word, slice_str(name)))
            return memcached_word(&line, value);
    }
    return false;
}

/* ---- commands ------------------------------------------------------------------------------- */

/* memcached takes all but what ends a word or a line. */
static bool is_plain(struct slice key)
{
    for (size_t i = 0; i < key.len; i++)
        if (memchr(" \r\n\0", key.ptr[i], 4))
            return false;
    return true;
}

/* The key as it goes out: as it is, or in base64, which memcached decodes. */
struct wire_key {
    struct slice text;
    bool encoded;
    struct buf room;
};

static bool wire_key(struct slice key, struct wire_key *out, struct error *e)
{
    bool plain = is_plain(key);
    size_t size = plain ? key.len : BASE64_ENCODED(key.len);
    *out = (struct wire_key){.text = key, .encoded = !plain};
    if (key.len == 0 || size > MEMCACHE_KEY_MAX)
        return error_set(e, "CLIENT_ERROR bad command line format");
    if (!plain) {
        base64_add(&out->room, key);
        out->text = buf_slice(&out->room);
    }
    return true;
}

static bool is_number(struct slice text, bool may_be_negative)
{
    uint64_t ignored;
    if (may_be_negative && text.len && text.ptr[0] == '-')
        text = slice_of(text.ptr + 1, text.len - 1);
    return memcached_number(text, &ignored);
}

/* What memcached would take for something else, it must not get. */
static bool flag_ok(struct slice flag, const char *letters, const char *numbers, const char *modes,
                    struct error *e)
{
    char letter = flag.len ? (char)flag.ptr[0] : '\0';
    struct slice token = flag.len ? slice_of(flag.ptr + 1, flag.len - 1) : flag;
    if (letter && strchr(letters, letter))
        return token.len == 0 || error_set(e, "CLIENT_ERROR invalid flag");
    if (letter && strchr(numbers, letter))
        return is_number(token, strchr("TNR", letter) != NULL) ||
               error_set(e, "CLIENT_ERROR bad token in command line format");
    if (letter == 'M' && *modes)
        return (token.len == 1 && strchr(modes, (char)*token.ptr) != NULL) ||
               error_set(e, "CLIENT_ERROR invalid mode");
    return error_set(e, "CLIENT_ERROR invalid flag");
}

/* By the second letter of the command. */
static bool flags_ok(const struct resp_command *cmd, char kind, struct error *e)
{
    for (size_t i = memcache_flags_at(cmd); i < cmd->argc; i++) {
        struct slice f = cmd->argv[i];
        bool ok = kind == 'G'   ? flag_ok(f, "stcfhlvuGE", "NTR", "", e)
                  : kind == 'S' ? flag_ok(f, "Ic", "FTC", "EAPRS", e)
                  : kind == 'D' ? flag_ok(f, "I", "TC", "", e)
                                : flag_ok(f, "tcv", "NJDTC", "ID", e);
        if (!ok)
            return false;
    }
    return true;
}

/* One of another memcached, or of this one before its start, is no unique that an item has. */
static void add_unique(struct buf *out, struct slice flag, uint16_t mark)
{
    uint64_t v = 0;
    (void)!memcached_number(slice_of(flag.ptr + 1, flag.len - 1), &v);
    v = v >> UNIQUE_BITS == mark ? v & UNIQUE_MASK : UINT64_MAX;
    buf_printf(out, " C%" PRIu64, v);
}

static void add_flags(struct buf *out, const struct resp_command *cmd, const struct wire_key *key,
                      uint16_t mark)
{
    for (size_t i = memcache_flags_at(cmd); i < cmd->argc; i++) {
        if (cmd->argv[i].ptr[0] == 'C') {
            add_unique(out, cmd->argv[i], mark);
            continue;
        }
        buf_add_str(out, " ");
        buf_add(out, cmd->argv[i].ptr, cmd->argv[i].len);
    }
    if (key->encoded)
        buf_add_str(out, " b");
}

static void add_line(struct buf *out, const char *word, struct slice a, struct slice b)
{
    buf_add_str(out, word);
    buf_add_str(out, " ");
    buf_add(out, a.ptr, a.len);
    if (b.len) {
        buf_add_str(out, " ");
        buf_add(out, b.ptr, b.len);
    }
    buf_add_str(out, "\r\n");
}

/* get, gets, gat, gats, touch */
static bool encode_classic(const struct resp_command *cmd, const struct wire_key *key,
                           struct buf *out, struct error *e)
{
    size_t t = memcache_flag(cmd, 'T');
    bool unique = memcache_flag(cmd, 'c'), value = memcache_flag(cmd, 'v');
    if (key->encoded)
        return error_set(e, "CLIENT_ERROR bad command line format");
    struct slice none = slice_of("", 0);
    struct slice at = t ? slice_of(cmd->argv[t].ptr + 1, cmd->argv[t].len - 1) : none;
    if (!t)
        add_line(out, unique ? "gets" : "get", key->text, none);
    else if (value)
        add_line(out, unique ? "gats" : "gat", at, key->text);
    else
        add_line(out, "touch", key->text, at);
    return true;
}

static bool encode(const struct resp_command *cmd, char kind, const struct wire_key *key,
                   uint16_t mark, struct buf *out, struct error *e)
{
    if (kind == 'G' && memcache_flag(cmd, 'G'))
        return encode_classic(cmd, key, out, e);
    if (kind == 'G' && memcache_flag(cmd, 'E')) {
        add_line(out, "me", key->text, key->encoded ? slice_str("b") : slice_of("", 0));
        return true;
    }
    buf_add(out, (const char[]){'m', (char)(kind | 0x20), ' '}, 3);
    buf_add(out, key->text.ptr, key->text.len);
    if (kind == 'S')
        buf_printf(out, " %zu", cmd->argv[2].len);
    add_flags(out, cmd, key, mark);
    buf_add_str(out, "\r\n");
    if (kind == 'S') {
        buf_add(out, cmd->argv[2].ptr, cmd->argv[2].len);
        buf_add_str(out, "\r\n");
    }
    return true;
}

bool memcached_encode(const struct resp_command *cmd, uint16_t mark, struct buf *out,
                      struct error *e)
{
    struct wire_key key;
    char kind = (char)(cmd->argv[0].ptr[1] & ~0x20);
    bool ok = wire_key(cmd->argv[1], &key, e) && flags_ok(cmd, kind, e) &&
              encode(cmd, kind, &key, mark, out, e);
    buf_fini(&key.room);
    return ok;
}

/* ---- replies -------------------------------------------------------------------------------- */

/* How many bytes come behind this line, as its value; -1: it names no such number. */
static int64_t bytes_behind(struct slice line)
{
    struct slice word;
    uint64_t n;
    bool meta = begins(line, "VA") && (line.len == 2 || line.ptr[2] == ' ');
    bool classic = begins(line, "VALUE ");
    if (!meta && !classic)
        return 0;
    for (unsigned i = 0; i < (meta ? 2u : 4u); i++)
        if (!memcached_word(&line, &word))
            return -1;
    return memcached_number(word, &n) && n <= MEMCACHED_VALUE_MAX ? (int64_t)n + 2 : -1;
}

/* Others come behind it. */
static bool goes_on(struct slice line)
{
    return begins(line, "VALUE ") || begins(line, "STAT ");
}

enum resp_status memcached_scan(struct resp_scanner *s, const uint8_t *data, size_t len,
                                size_t *size, struct error *e)
{
    for (;;) {
        size_t from = s->seen > s->pos ? s->seen : s->pos;
        const uint8_t *end = from < len ? memchr(data + from, '\n', len - from) : NULL;
        s->seen = len;
        if ((end ? (size_t)(end - data) : len) - s->pos > REPLY_LINE_MAX) {
            (void)error_set(e, "a line of more than %u bytes", REPLY_LINE_MAX);
            return RESP_BAD;
        }
        if (!end)
            return RESP_MORE;
        size_t next = (size_t)(end - data) + 1;
        struct slice line = memcached_line(slice_of(data + s->pos, next - s->pos));
        int64_t more = bytes_behind(line);
        if (more < 0 || line.len == 0) {
            (void)error_set(e, "%.*s", (int)(line.len < 100 ? line.len : 100),
                            (const char *)line.ptr);
            return RESP_BAD;
        }
        if (len - next < (size_t)more) {
            s->seen = (size_t)(end - data);
            return RESP_MORE;
        }
        next += (size_t)more;
        if (!goes_on(line)) {
            *size = next;
            *s = (struct resp_scanner){0};
            return RESP_OK;
        }
        s->pos = s->seen = next;
    }
}

static void add_code(struct buf *out, const char *code, size_t flags)
{
    resp_add_array(out, 2 + flags);
    resp_add_bulk_str(out, code);
}

static void add_marked(struct buf *out, struct slice unique, uint16_t mark)
{
    char text[24];
    uint64_t v = 0;
    (void)!memcached_number(unique, &v);
    snprintf(text, sizeof text, "c%" PRIu64, (uint64_t)mark << UNIQUE_BITS | (v & UNIQUE_MASK));
    resp_add_bulk_str(out, text);
}

/* VALUE key flags bytes [unique] */
static void decode_value(struct slice reply, uint16_t mark, struct buf *out)
{
    struct slice line = memcached_line(reply), word, flags, bytes, unique;
    const uint8_t *value = (const uint8_t *)memchr(reply.ptr, '\n', reply.len) + 1;
    uint64_t n = 0;
    char text[24];
    (void)memcached_word(&line, &word);
    (void)memcached_word(&line, &word);
    (void)memcached_word(&line, &flags);
    (void)memcached_word(&line, &bytes);
    (void)!memcached_number(bytes, &n);
    bool has_unique = memcached_word(&line, &unique);
    add_code(out, "VA", has_unique ? 2 : 1);
    resp_add_bulk(out, slice_of(value, (size_t)n));
    snprintf(text, sizeof text, "f%.*s", (int)(flags.len < 20 ? flags.len : 20),
             (const char *)flags.ptr);
    resp_add_bulk_str(out, text);
    if (has_unique)
        add_marked(out, unique, mark);
}

/* VA bytes flags..., HD flags..., and so on. k and b are none that were asked for. */
static void decode_meta(struct slice reply, uint16_t mark, struct buf *out)
{
    struct slice line = memcached_line(reply), code, word, rest;
    uint64_t n = 0;
    (void)memcached_word(&line, &code);
    bool value = slice_eq(code, slice_str("VA"));
    if (value && memcached_word(&line, &word))
        (void)!memcached_number(word, &n);
    size_t flags = 0;
    for (rest = line; memcached_word(&rest, &word);)
        flags += word.ptr[0] != 'k' && word.ptr[0] != 'b';
    resp_add_array(out, 2 + flags);
    resp_add_bulk(out, code);
    if (value)
        resp_add_bulk(out,
                      slice_of((const uint8_t *)memchr(reply.ptr, '\n', reply.len) + 1, (size_t)n));
    else
        resp_add_nil(out);
    while (memcached_word(&line, &word)) {
        if (word.ptr[0] == 'c')
            add_marked(out, slice_of(word.ptr + 1, word.len - 1), mark);
        else if (word.ptr[0] != 'k' && word.ptr[0] != 'b')
            resp_add_bulk(out, word);
    }
}

/* ME key text */
static void decode_debug(struct slice reply, struct buf *out)
{
    struct slice line = memcached_line(reply), word;
    (void)memcached_word(&line, &word);
    (void)memcached_word(&line, &word);
    if (line.len)
        line = slice_of(line.ptr + 1, line.len - 1);
    add_code(out, "HD", 0);
    resp_add_bulk(out, line);
}

void memcached_decode(struct slice reply, uint16_t mark, struct buf *out)
{
    static const struct {
        const char *word, *code;
    } plain[] = {{"END\r\n", "EN"}, {"TOUCHED\r\n", "HD"}, {"NOT_FOUND\r\n", "EN"}};
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (slice_eq(reply, slice_str(plain[i].word))) {
            add_code(out, plain[i].code, 0);
            resp_add_nil(out);
            return;
        }
    struct slice line = memcached_line(reply);
    if (begins(reply, "VALUE "))
        decode_value(reply, mark, out);
    else if (begins(reply, "ME "))
        decode_debug(reply, out);
    else if (begins(reply, "CLIENT_ERROR ") || begins(reply, "SERVER_ERROR "))
        resp_add_error(out, "%.*s", (int)line.len, (const char *)line.ptr);
    else if (line.len >= 2 && (line.len == 2 || line.ptr[2] == ' '))
        decode_meta(reply, mark, out);
    else
        resp_add_error(out, "SERVER_ERROR the backend answers %.*s", (int)line.len,
                       (const char *)line.ptr);
}
