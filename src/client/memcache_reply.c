/* What the stores say ([code, value, flag...], or an error) as a client of memcached reads it. */
#include "client/memcache.h"
#include "wire/base64.h"

/* ---- what has to be known when the reply comes -------------------------------------------------
 * rendering.how: a form and bits. rendering.note: of a get its keys, a blank behind each; of `me`
 * and of a meta command that wants key or opaque back the key, with its length in front, and then
 * the flags. */

enum form { GET, STORE, TOO_LARGE, DELETE, TOUCH, ARITHMETIC, FLUSH, DEBUG, MG, MS, MD, MA };

enum {
    FORM = 0xf,
    QUIET = 0x10,    /* noreply, q */
    BINARY = 0x20,   /* the key is told in base64 */
    WITH_CAS = 0x40, /* it is told, or compared */
    WITH_TTL = 0x80, /* a read that touches */
    MANY = 0x100,    /* a get of several keys: an array of replies */
    DECREASE = 0x200,
};

static enum form form_of(const struct memcache_command *m)
{
    switch (m->verb) {
    case MEMCACHE_GET:
        return GET;
    case MEMCACHE_STORE:
        return m->too_large ? TOO_LARGE : STORE;
    case MEMCACHE_META_SET:
        return m->too_large ? TOO_LARGE : MS;
    case MEMCACHE_DELETE:
        return DELETE;
    case MEMCACHE_TOUCH:
        return TOUCH;
    case MEMCACHE_FLUSH_ALL:
        return FLUSH;
    case MEMCACHE_META_DEBUG:
        return DEBUG;
    case MEMCACHE_META_GET:
        return MG;
    case MEMCACHE_META_DELETE:
        return MD;
    case MEMCACHE_META_ARITHMETIC:
        return MA;
    default:
        return ARITHMETIC;
    }
}

static unsigned how_of(const struct memcache_command *m)
{
    bool get = m->verb == MEMCACHE_GET, many = get && m->nwords - m->first > 1;
    bool quiet = m->quiet && !(m->too_large && m->verb == MEMCACHE_META_SET);
    return (unsigned)form_of(m) | (quiet ? QUIET : 0u) | (m->binary ? BINARY : 0u) |
           (memcache_given(m, get ? 'c' : 'C') ? WITH_CAS : 0u) |
           (memcache_given(m, 'T') ? WITH_TTL : 0u) | (many ? MANY : 0u) |
           (m->mode == 'D' ? DECREASE : 0u);
}

static void note_keys(const struct memcache_command *m, struct buf *note)
{
    for (size_t i = m->first; i < m->nwords; i++) {
        buf_add(note, m->words[i].ptr, m->words[i].len);
        buf_add(note, " ", 1);
    }
}

/* Of flags that aren't told again only the letter matters. */
static void note_key(const struct memcache_command *m, struct buf *note)
{
    uint8_t n = (uint8_t)m->key.len;
    buf_add(note, &n, 1);
    buf_add(note, m->key.ptr, m->key.len);
    for (size_t i = m->first; m->first && i < m->nwords; i++) {
        struct slice w = m->words[i];
        buf_add(note, w.ptr, w.ptr[0] == 'O' ? w.len : 1);
        buf_add(note, " ", 1);
    }
}

static void render(const struct call *call, struct slice reply, struct buf *out);

void memcache_render(struct client *c)
{
    const struct memcache_command *m = &c->memcache->cmd;
    c->rendering.fn = render;
    c->rendering.how = how_of(m);
    buf_reset(&c->rendering.note, 4096);
    if (m->verb == MEMCACHE_GET)
        note_keys(m, &c->rendering.note);
    else if (m->verb == MEMCACHE_META_DEBUG || memcache_given(m, 'k') || memcache_given(m, 'O'))
        note_key(m, &c->rendering.note);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* A reply of a store, read from the front. */
struct words {
    struct slice rest;
    size_t left; /* elements of the array that is being read */
};

/* The number behind a type byte. */
static bool header(struct slice *rest, char type, int64_t *n)
{
    const uint8_t *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    if (!end || end - rest->ptr < 3 || rest->ptr[0] != (uint8_t)type)
        return false;
    size_t size = (size_t)(end - rest->ptr) + 1;
    if (!slice_to_i64(slice_of(rest->ptr + 1, size - 3), n))
        return false;
    *rest = slice_of(rest->ptr + size, rest->len - size);
    return true;
}

static bool open_array(struct words *w, struct slice reply)
{
    int64_t n;
    w->rest = reply;
    if (!header(&w->rest, '*', &n) || n < 0)
        return false;
    w->left = (size_t)n;
    return true;
}

/* nil: ptr NULL. */
static bool next(struct words *w, struct slice *out)
{
    int64_t n;
    if (!w->left || !header(&w->rest, '$', &n) || (n >= 0 && w->rest.len < (uint64_t)n + 2))
        return false;
    size_t size = n < 0 ? 0 : (size_t)n + 2;
    *out = n < 0 ? slice_of(NULL, 0) : slice_of(w->rest.ptr, (size_t)n);
    w->rest = slice_of(w->rest.ptr + size, w->rest.len - size);
    w->left--;
    return true;
}

struct answer {
    struct slice code, value; /* value.ptr NULL: none */
    struct words flags;       /* to come */
};

/* False: it is no such array. */
static bool read_answer(struct slice reply, struct answer *a)
{
    return open_array(&a->flags, reply) && next(&a->flags, &a->code) &&
           next(&a->flags, &a->value) && a->code.len == 2;
}

static bool is(const struct answer *a, const char *code)
{
    return memcmp(a->code.ptr, code, 2) == 0;
}

/* The next flag, if it is this one: what stands behind its letter. */
static bool take_flag(struct words *flags, char letter, struct slice *out)
{
    struct words after = *flags;
    struct slice flag;
    if (!next(&after, &flag) || flag.len == 0 || flag.ptr[0] != (uint8_t)letter)
        return false;
    *flags = after;
    *out = slice_of(flag.ptr + 1, flag.len - 1);
    return true;
}

/* ---- figures ----------------------------------------------------------------------------------
 */

static void count(const struct call *call, enum memcache_figure f)
{
    STATS_ADD(call->client->all->stats, memcache[f], 1);
}

static void count_read(const struct call *call, bool hit)
{
    if (call->rendering.how & WITH_TTL) {
        count(call, MEMCACHE_CMD_TOUCH);
        count(call, hit ? MEMCACHE_TOUCH_HITS : MEMCACHE_TOUCH_MISSES);
    } else {
        count(call, MEMCACHE_CMD_GET);
        count(call, hit ? MEMCACHE_GET_HITS : MEMCACHE_GET_MISSES);
    }
}

static void count_set(const struct call *call, const struct answer *a)
{
    count(call, MEMCACHE_CMD_SET);
    if (!(call->rendering.how & WITH_CAS))
        return;
    if (is(a, "HD"))
        count(call, MEMCACHE_CAS_HITS);
    else if (is(a, "EX"))
        count(call, MEMCACHE_CAS_BADVAL);
    else if (is(a, "NF"))
        count(call, MEMCACHE_CAS_MISSES);
}

static void count_arithmetic(const struct call *call, const struct answer *a)
{
    bool decrease = call->rendering.how & DECREASE;
    if (is(a, "HD") || is(a, "VA"))
        count(call, decrease ? MEMCACHE_DECR_HITS : MEMCACHE_INCR_HITS);
    else if (is(a, "NF"))
        count(call, decrease ? MEMCACHE_DECR_MISSES : MEMCACHE_INCR_MISSES);
}

static void count_answer(const struct call *call, enum form form, const struct answer *a)
{
    switch (form) {
    case STORE:
    case MS:
        count_set(call, a);
        break;
    case DELETE:
    case MD:
        if (is(a, "HD") || is(a, "NF"))
            count(call, is(a, "HD") ? MEMCACHE_DELETE_HITS : MEMCACHE_DELETE_MISSES);
        break;
    case ARITHMETIC:
    case MA:
        count_arithmetic(call, a);
        break;
    case TOUCH:
    case MG:
        count_read(call, !is(a, "EN") && !is(a, "NF"));
        break;
    case DEBUG:
        count(call, MEMCACHE_CMD_META);
        break;
    case GET:
    case TOO_LARGE:
    case FLUSH:
        break;
    }
}

/* ---- errors ------------------------------------------------------------------------------------
 */

static bool begins(struct slice s, const char *with)
{
    size_t n = strlen(with);
    return s.len >= n && memcmp(s.ptr, with, n) == 0;
}

/* Ours say which by their first word, as to Redis's clients; -ERR says nothing. */
static void add_error(struct buf *out, struct slice error)
{
    struct slice text = slice_of(error.ptr + 1, error.len - 1);
    if (begins(text, "ERR "))
        text = slice_of(text.ptr + 4, text.len - 4);
    if (!begins(text, "CLIENT_ERROR ") && !begins(text, "SERVER_ERROR "))
        buf_add_str(out, "SERVER_ERROR ");
    buf_add(out, text.ptr, text.len);
}

/* ---- get ---------------------------------------------------------------------------------------
 */

static void add_size(struct buf *out, size_t n)
{
    char text[24], *p = text + sizeof text;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    buf_add(out, p, (size_t)(text + sizeof text - p));
}

static void add_word(struct buf *out, struct slice word)
{
    buf_add_str(out, " ");
    buf_add(out, word.ptr, word.len);
}

/* False: the reply isn't one. */
static bool add_value(const struct call *call, struct slice key, struct slice reply,
                      struct buf *out)
{
    struct answer a;
    struct slice flags, cas;
    if (!read_answer(reply, &a))
        return false;
    count_read(call, is(&a, "VA"));
    if (!is(&a, "VA") || !a.value.ptr)
        return is(&a, "EN");
    if (!take_flag(&a.flags, 'f', &flags))
        return false;
    buf_add_str(out, "VALUE");
    add_word(out, key);
    add_word(out, flags);
    buf_add_str(out, " ");
    add_size(out, a.value.len);
    if (call->rendering.how & WITH_CAS && take_flag(&a.flags, 'c', &cas))
        add_word(out, cas);
    buf_add_str(out, "\r\n");
    buf_add(out, a.value.ptr, a.value.len);
    buf_add_str(out, "\r\n");
    return true;
}

static struct slice next_key(struct slice *note)
{
    const uint8_t *end = note->len ? memchr(note->ptr, ' ', note->len) : NULL;
    size_t n = end ? (size_t)(end - note->ptr) : 0;
    struct slice key = slice_of(note->ptr, n);
    *note = slice_of(note->ptr + n + 1, end ? note->len - n - 1 : 0);
    return key;
}

/* One element of an array of replies. */
static bool next_reply(struct words *w, struct slice *out)
{
    struct resp_scanner s = {0};
    struct error ignored;
    size_t size;
    if (!w->left || resp_reply_scan(&s, w->rest.ptr, w->rest.len, &size, &ignored) != RESP_OK)
        return false;
    *out = slice_of(w->rest.ptr, size);
    w->rest = slice_of(w->rest.ptr + size, w->rest.len - size);
    w->left--;
    return true;
}

static bool add_values(const struct call *call, struct slice reply, struct buf *out)
{
    struct slice note = buf_slice(&call->rendering.note), one;
    struct words w;
    if (!(call->rendering.how & MANY))
        return add_value(call, next_key(&note), reply, out);
    if (!open_array(&w, reply))
        return false;
    while (next_reply(&w, &one))
        if (!add_value(call, next_key(&note), one, out))
            return false;
    return w.left == 0;
}

/* ---- one line ----------------------------------------------------------------------------------
 */

static const char *word_of(enum form form, const struct answer *a)
{
    static const struct {
        enum form form;
        const char *code, *word;
    } words[] = {
        {STORE, "HD", "STORED"},    {STORE, "NS", "NOT_STORED"}, {STORE, "EX", "EXISTS"},
        {STORE, "NF", "NOT_FOUND"}, {DELETE, "HD", "DELETED"},   {DELETE, "NF", "NOT_FOUND"},
        {TOUCH, "HD", "TOUCHED"},   {TOUCH, "EN", "NOT_FOUND"},  {ARITHMETIC, "NF", "NOT_FOUND"}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (words[i].form == form && is(a, words[i].code))
            return words[i].word;
    return NULL;
}

static bool add_classic(enum form form, const struct answer *a, struct buf *out)
{
    const char *word = word_of(form, a);
    if (word)
        buf_add_str(out, word);
    else if (form == ARITHMETIC && is(a, "VA"))
        buf_add(out, a->value.ptr, a->value.len);
    else
        return false;
    buf_add_str(out, "\r\n");
    return true;
}

static void add_key(unsigned how, struct slice key, struct buf *out)
{
    if (how & BINARY)
        base64_add(out, key);
    else
        buf_add(out, key.ptr, key.len);
}

static struct slice noted_key(struct slice *note)
{
    struct slice key = slice_of(note->ptr + 1, note->ptr[0]);
    *note = slice_of(note->ptr + 1 + key.len, note->len - 1 - key.len);
    return key;
}

static bool add_debug(const struct call *call, const struct answer *a, struct buf *out)
{
    struct slice note = buf_slice(&call->rendering.note), key = noted_key(&note);
    if (is(a, "EN")) {
        buf_add_str(out, "EN\r\n");
        return true;
    }
    buf_add_str(out, "ME ");
    add_key(call->rendering.how, key, out);
    buf_add_str(out, " ");
    buf_add(out, a->value.ptr, a->value.len);
    buf_add_str(out, "\r\n");
    return a->value.ptr;
}

/* ---- meta --------------------------------------------------------------------------------------
 */

/* Flags that the client has asked for, in its order; ours among those of the store. */
static void add_noted_flags(const struct call *call, struct words *flags, struct buf *out)
{
    struct slice note = buf_slice(&call->rendering.note), flag, token;
    if (!note.len)
        return;
    struct slice key = noted_key(&note);
    while ((flag = next_key(&note)).len) {
        char letter = (char)flag.ptr[0];
        if (letter == 'O') {
            add_word(out, flag);
        } else if (letter == 'k') {
            buf_add_str(out, " k");
            add_key(call->rendering.how, key, out);
            buf_add_str(out, call->rendering.how & BINARY ? " b" : "");
        } else if (take_flag(flags, letter, &token)) {
            add_word(out, slice_of(token.ptr - 1, token.len + 1));
        }
    }
}

/* What `q` leaves out: a miss of a read, the success of all others. */
static bool is_nominal(enum form form, const struct answer *a)
{
    return form == MG ? is(a, "EN") : is(a, "HD") || is(a, "VA");
}

static bool add_meta(const struct call *call, enum form form, struct answer *a, struct buf *out)
{
    struct slice flag;
    if (call->rendering.how & QUIET && is_nominal(form, a))
        return true;
    buf_add(out, a->code.ptr, a->code.len);
    if (is(a, "VA")) {
        buf_add_str(out, " ");
        add_size(out, a->value.len);
    }
    add_noted_flags(call, &a->flags, out);
    while (next(&a->flags, &flag))
        add_word(out, flag);
    buf_add_str(out, "\r\n");
    if (is(a, "VA")) {
        buf_add(out, a->value.ptr, a->value.len);
        buf_add_str(out, "\r\n");
    }
    return true;
}

/* ---- any ---------------------------------------------------------------------------------------
 */

static bool add_answer(const struct call *call, enum form form, struct slice reply, struct buf *out)
{
    struct answer a;
    if (form == GET) {
        bool good = add_values(call, reply, out);
        buf_add_str(out, "END\r\n");
        return good;
    }
    if (form == FLUSH) {
        buf_add_str(out, "OK\r\n");
        return slice_eq(reply, slice_str("+OK\r\n"));
    }
    if (!read_answer(reply, &a))
        return false;
    count_answer(call, form, &a);
    if (form == TOO_LARGE) {
        buf_add_str(out, "SERVER_ERROR object too large for cache\r\n");
        return true;
    }
    if (form == DEBUG)
        return add_debug(call, &a, out);
    return form < DEBUG ? add_classic(form, &a, out) : add_meta(call, form, &a, out);
}

static void render(const struct call *call, struct slice reply, struct buf *out)
{
    enum form form = (enum form)(call->rendering.how & FORM);
    bool silent = call->rendering.how & QUIET && form < DEBUG; /* noreply: errors, too */
    size_t before = out->len;
    if (resp_reply_is_error(reply))
        add_error(out, reply);
    else if (!add_answer(call, form, reply, out)) {
        out->len = before;
        buf_add_str(out, "SERVER_ERROR the store's answer isn't one of memcached's\r\n");
    }
    if (silent)
        out->len = before;
}
