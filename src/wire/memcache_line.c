/* What the words of a line mean; which are refused is as in memcached 1.6.18, in its words. */
#include "core/mem.h"
#include "wire/base64.h"
#include "wire/memcache.h"

#define BAD_FORMAT      "CLIENT_ERROR bad command line format"
#define BAD_TOKEN       "CLIENT_ERROR bad token in command line format"
#define VALUE_MAX       (INT32_MAX - 2)
#define META_WORDS_MAX  19 /* of a line of a meta command */
#define BLANKS_IN_FRONT 100
#define KEEP_WORDS      1024u

/* ---- words ------------------------------------------------------------------------------------
 */

static bool word_is(struct slice word, const char *name)
{
    return slice_eq(word, slice_str(name)); /* unlike Redis's, they have a case */
}

static bool gets_many(struct slice name)
{
    return word_is(name, "get") || word_is(name, "gets") || word_is(name, "gat") ||
           word_is(name, "gats") || word_is(name, "bget");
}

static struct slice next_word(struct slice *rest)
{
    const uint8_t *p = rest->ptr, *end = p + rest->len;
    while (p < end && *p == ' ')
        p++;
    const uint8_t *blank = memchr(p, ' ', (size_t)(end - p));
    const uint8_t *stop = blank ? blank : end;
    *rest = slice_of(stop, (size_t)(end - stop));
    return slice_of(p, (size_t)(stop - p));
}

bool memcache_names_many(struct slice beginning)
{
    const uint8_t *start = beginning.ptr;
    struct slice name = next_word(&beginning);
    return name.ptr - start <= BLANKS_IN_FRONT && beginning.len && gets_many(name);
}

static void add_word(struct memcache_command *c, struct slice word)
{
    if (c->nwords == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 8;
        c->words = mem_realloc(c->words, c->cap * sizeof *c->words);
    }
    c->words[c->nwords++] = word;
}

static void split(struct memcache_command *c, struct slice line)
{
    const uint8_t *nul = line.len ? memchr(line.ptr, '\0', line.len) : NULL;
    if (nul) /* where a line ends for memcached */
        line.len = (size_t)(nul - line.ptr);
    struct slice word = next_word(&line);
    size_t max = gets_many(word) ? RESP_ARGS_MAX + 3 : MEMCACHE_WORDS_MAX; /* one too many */
    for (; word.len && c->nwords < max; word = next_word(&line))
        add_word(c, word);
}

/* ---- numbers ----------------------------------------------------------------------------------
 * As strtoull and strtol read them, which is what memcached does: blanks and a sign may stand in
 * front, a blank ends them, and what doesn't fit into 32 bits loses its upper half. */

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct number {
    uint64_t magnitude;
    bool negative;
};

static bool read_number(struct slice s, struct number *n)
{
    size_t i = 0;
    while (i < s.len && is_blank(s.ptr[i]))
        i++;
    n->negative = i < s.len && s.ptr[i] == '-';
    i += i < s.len && (s.ptr[i] == '-' || s.ptr[i] == '+');
    size_t first = i;
    n->magnitude = 0;
    for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++)
        if (__builtin_mul_overflow(n->magnitude, 10, &n->magnitude) ||
            __builtin_add_overflow(n->magnitude, s.ptr[i] - '0', &n->magnitude))
            return false;
    return i > first && (i == s.len || is_blank(s.ptr[i]));
}

static bool read_u64(struct slice s, uint64_t *out)
{
    struct number n;
    if (!read_number(s, &n))
        return false;
    uint64_t v = n.negative ? 0 - n.magnitude : n.magnitude;
    if (v >> 63 && memchr(s.ptr, '-', s.len))
        return false;
    *out = v;
    return true;
}

static bool read_u32(struct slice s, uint32_t *out)
{
    uint64_t v;
    if (!read_u64(s, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool read_i32(struct slice s, int32_t *out)
{
    struct number n;
    if (!read_number(s, &n) || n.magnitude > (uint64_t)INT64_MAX + n.negative)
        return false;
    *out = (int32_t)(uint32_t)(n.negative ? 0 - n.magnitude : n.magnitude);
    return true;
}

/* ---- what is common ---------------------------------------------------------------------------
 */

static void wrong(struct memcache_command *c, const char *answer)
{
    c->verb = MEMCACHE_WRONG;
    c->answer = answer;
    c->bytes = -1;
}

static void give(struct memcache_command *c, char letter)
{
    c->given |= 1ull << (letter - 'A');
}

static bool words_between(struct memcache_command *c, size_t min, size_t max)
{
    if (c->nwords >= min && c->nwords <= max)
        return true;
    wrong(c, "ERROR");
    return false;
}

/* Only where it stands last. */
static void take_noreply(struct memcache_command *c)
{
    c->quiet = word_is(c->words[c->nwords - 1], "noreply");
}

static bool take_key(struct memcache_command *c)
{
    if (c->words[1].len > MEMCACHE_KEY_MAX) {
        wrong(c, BAD_FORMAT);
        return false;
    }
    c->key = c->words[1];
    return true;
}

/* False: it isn't the length of a value. */
static bool take_length(struct memcache_command *c, struct slice word)
{
    int32_t n;
    if (!read_i32(word, &n) || n < 0 || n > VALUE_MAX)
        return false;
    c->bytes = n;
    return true;
}

/* Is thrown away, and so isn't waited for. */
static void discard_value(struct memcache_command *c)
{
    c->discard = (size_t)c->bytes + 2;
}

static void check_size(struct memcache_command *c, size_t value_max)
{
    if ((uint64_t)c->bytes <= value_max)
        return;
    c->too_large = true;
    discard_value(c);
}

/* ---- the classic commands ---------------------------------------------------------------------
 */

static void read_get(struct memcache_command *c)
{
    struct slice name = c->words[0];
    bool touch = name.ptr[1] == 'a';
    c->verb = MEMCACHE_GET;
    c->first = touch ? 2 : 1;
    if (!words_between(c, 2, SIZE_MAX))
        return;
    if (name.ptr[name.len - 1] == 's')
        give(c, 'c');
    if (touch)
        give(c, 'T');
    if (touch && !read_i32(c->words[1], &c->ttl)) {
        wrong(c, "CLIENT_ERROR invalid exptime argument");
        return;
    }
    for (size_t i = c->first; i < c->nwords; i++)
        if (c->words[i].len > MEMCACHE_KEY_MAX) {
            wrong(c, BAD_FORMAT);
            return;
        }
    if (c->nwords - c->first > RESP_ARGS_MAX)
        wrong(c, "CLIENT_ERROR too many keys");
}

static void read_store(struct memcache_command *c, char mode, bool cas, size_t value_max)
{
    c->verb = MEMCACHE_STORE;
    c->mode = mode;
    if (!words_between(c, cas ? 6 : 5, cas ? 7 : 6))
        return;
    take_noreply(c);
    if (!take_key(c))
        return;
    bool good = read_u32(c->words[2], &c->flags) && read_i32(c->words[3], &c->ttl) &&
                (!cas || read_u64(c->words[5], &c->cas));
    if (!good || !take_length(c, c->words[4])) {
        wrong(c, BAD_FORMAT);
        return;
    }
    give(c, 'F');
    give(c, 'T');
    if (cas)
        give(c, 'C');
    check_size(c, value_max);
}

static void read_delete(struct memcache_command *c)
{
    c->verb = MEMCACHE_DELETE;
    if (!words_between(c, 2, 4))
        return;
    if (c->nwords > 2) {
        bool zero = word_is(c->words[2], "0"); /* a time, long ago */
        take_noreply(c);
        if (c->nwords == 3 ? !zero && !c->quiet : !zero || !c->quiet) {
            wrong(c, BAD_FORMAT ".  Usage: delete <key> [noreply]");
            return;
        }
    }
    (void)take_key(c);
}

static void read_arithmetic(struct memcache_command *c, char mode)
{
    c->verb = MEMCACHE_ARITHMETIC;
    c->mode = mode;
    if (!words_between(c, 3, 4))
        return;
    take_noreply(c);
    give(c, 'D');
    if (take_key(c) && !read_u64(c->words[2], &c->delta))
        wrong(c, "CLIENT_ERROR invalid numeric delta argument");
}

static void read_touch(struct memcache_command *c)
{
    c->verb = MEMCACHE_TOUCH;
    if (!words_between(c, 3, 4))
        return;
    take_noreply(c);
    give(c, 'T');
    if (take_key(c) && !read_i32(c->words[2], &c->ttl))
        wrong(c, "CLIENT_ERROR invalid exptime argument");
}

static void read_verbosity(struct memcache_command *c)
{
    c->verb = MEMCACHE_VERBOSITY;
    if (!words_between(c, 2, 3))
        return;
    take_noreply(c);
    if (!read_u32(c->words[1], &c->level))
        wrong(c, BAD_FORMAT);
}

static void read_flush_all(struct memcache_command *c)
{
    c->verb = MEMCACHE_FLUSH_ALL;
    if (!words_between(c, 1, 3))
        return;
    take_noreply(c);
    bool delayed = c->nwords != (c->quiet ? 2 : 1);
    if (delayed && !read_i32(c->words[1], &c->ttl))
        wrong(c, "CLIENT_ERROR invalid exptime argument");
}

/* ---- the meta commands ------------------------------------------------------------------------
 */

/* NULL: it is good. The last thing that is wrong is what is told. */
static const char *take_number(struct memcache_command *c, char letter, struct slice token)
{
    switch (letter) {
    case 'T':
        return read_i32(token, &c->ttl) ? NULL : BAD_TOKEN;
    case 'N':
        return read_i32(token, &c->vivify) ? NULL : BAD_TOKEN;
    case 'R':
        return read_i32(token, &c->recache) ? NULL : BAD_TOKEN;
    case 'C':
        return read_u64(token, &c->cas) ? NULL : BAD_TOKEN;
    case 'J':
        return read_u64(token, &c->initial) ? NULL : "CLIENT_ERROR invalid numeric initial value";
    default:
        return read_u64(token, &c->delta) ? NULL : "CLIENT_ERROR invalid numeric delta value";
    }
}

static bool decode_key(struct memcache_command *c)
{
    size_t n = base64_decode(c->key, c->decoded);
    c->key = slice_of(c->decoded, n);
    c->binary = true;
    return n;
}

/* One flag. False: `*error` says what is wrong; *error NULL: what was wrong before it. */
static bool take_flag(struct memcache_command *c, struct slice word, const char **error)
{
    char letter = (char)word.ptr[0];
    struct slice token = slice_of(word.ptr + 1, word.len - 1);
    *error = NULL;
    switch (letter) {
    case 'b':
        *error = decode_key(c) ? NULL : "CLIENT_ERROR error decoding key";
        break;
    case 'T':
    case 'N':
    case 'R':
    case 'C':
    case 'J':
    case 'D':
        *error = take_number(c, letter, token);
        break;
    case 'F':
        return read_u32(token, &c->flags);
    case 'M':
        c->mode = token.len == 1 ? (char)token.ptr[0] : '\0';
        *error = token.len == 1 ? NULL : "CLIENT_ERROR incorrect length for M token";
        break;
    case 'q':
        c->quiet = true;
        break;
    default:
        break;
    }
    return !*error;
}

/* NULL: all are good. */
static const char *take_flags(struct memcache_command *c)
{
    static const char known[] = "bNTRlOPLkstcfvhuqFCMJDI";
    const char *error = NULL, *one;
    for (size_t i = c->first; i < c->nwords; i++) {
        uint8_t letter = c->words[i].ptr[0];
        bool letter_like = letter >= 'A' && letter <= 'z';
        if (letter >= 127 || (letter_like && memcache_given(c, (char)letter)))
            return "CLIENT_ERROR duplicate flag";
        if (!letter_like || !memchr(known, letter, sizeof known - 1))
            return "CLIENT_ERROR invalid flag";
        give(c, (char)letter);
        if (!take_flag(c, c->words[i], &one))
            error = one ? one : error ? error : BAD_FORMAT;
    }
    return error;
}

static bool opaque_fits(const struct memcache_command *c)
{
    for (size_t i = c->first; memcache_given(c, 'O') && i < c->nwords; i++)
        if (c->words[i].ptr[0] == 'O' && c->words[i].len > MEMCACHE_OPAQUE_MAX)
            return false;
    return true;
}

/* An error is told also where `q` asks for quiet. */
static void meta_wrong(struct memcache_command *c, const char *answer)
{
    wrong(c, answer);
    c->quiet = false;
}

static bool meta_begins(struct memcache_command *c, enum memcache_verb verb, const char *too_many)
{
    c->verb = verb;
    c->first = 2;
    if (!words_between(c, 2, SIZE_MAX) || !take_key(c))
        return false;
    if (c->nwords > META_WORDS_MAX)
        wrong(c, too_many);
    return c->nwords <= META_WORDS_MAX;
}

static void read_meta_get(struct memcache_command *c)
{
    if (!meta_begins(c, MEMCACHE_META_GET, "CLIENT_ERROR options flags are too long"))
        return;
    const char *error = take_flags(c);
    if (!error && !opaque_fits(c))
        error = "CLIENT_ERROR opaque token too long";
    if (error)
        meta_wrong(c, error);
}

/* Delete and arithmetic. */
static void read_meta(struct memcache_command *c, enum memcache_verb verb)
{
    if (!meta_begins(c, verb, "CLIENT_ERROR options flags too long"))
        return;
    if (take_flags(c)) {
        meta_wrong(c, "CLIENT_ERROR invalid or duplicate flag");
        return;
    }
    if (verb == MEMCACHE_META_ARITHMETIC && c->mode && !strchr("I+D-", c->mode))
        meta_wrong(c, "CLIENT_ERROR invalid mode for ma M token");
    else if (!opaque_fits(c))
        meta_wrong(c, "CLIENT_ERROR opaque token too long");
    c->mode = c->mode == 'D' || c->mode == '-' ? 'D' : 'I';
}

/* A wrong one's value is thrown away, as far as its length could be read. */
static void read_meta_set(struct memcache_command *c, size_t value_max)
{
    if (c->nwords == 2) {
        wrong(c, BAD_FORMAT);
        return;
    }
    if (!meta_begins(c, MEMCACHE_META_SET, "CLIENT_ERROR options flags too long"))
        return;
    c->first = 3;
    if (!take_length(c, c->words[2])) {
        wrong(c, BAD_FORMAT);
        return;
    }
    const char *error = take_flags(c);
    if (!error && c->mode && !strchr("EAPRS", c->mode))
        error = "CLIENT_ERROR invalid mode for ms M token";
    if (!error && !opaque_fits(c))
        error = "CLIENT_ERROR opaque token too long";
    c->mode = c->mode ? c->mode : 'S';
    if (error) {
        discard_value(c);
        meta_wrong(c, error);
        return;
    }
    check_size(c, value_max);
}

/* Its b must be the first flag, and nothing else is looked at. */
static void read_meta_debug(struct memcache_command *c)
{
    c->verb = MEMCACHE_META_DEBUG;
    if (c->nwords < 2) {
        wrong(c, BAD_FORMAT);
        return;
    }
    if (take_key(c) && c->nwords > 2 && word_is(c->words[2], "b") && !decode_key(c))
        wrong(c, BAD_FORMAT);
}

static void read_meta_line(struct memcache_command *c, size_t value_max)
{
    switch (c->words[0].ptr[1]) {
    case 'g':
        read_meta_get(c);
        break;
    case 's':
        read_meta_set(c, value_max);
        break;
    case 'd':
        read_meta(c, MEMCACHE_META_DELETE);
        break;
    case 'a':
        c->delta = 1;
        read_meta(c, MEMCACHE_META_ARITHMETIC);
        break;
    case 'e':
        read_meta_debug(c);
        break;
    case 'n':
        c->verb = MEMCACHE_META_NOOP;
        break;
    default:
        wrong(c, "ERROR");
    }
}

/* ---- lines ------------------------------------------------------------------------------------
 */

static void read_classic(struct memcache_command *c, size_t value_max)
{
    static const struct {
        const char *name;
        char mode;
        bool cas;
    } stores[] = {{"set", 'S', false},    {"add", 'E', false},     {"replace", 'R', false},
                  {"append", 'A', false}, {"prepend", 'P', false}, {"cas", 'S', true}};
    struct slice name = c->words[0];
    for (size_t i = 0; i < ARRAY_LEN(stores); i++)
        if (word_is(name, stores[i].name)) {
            read_store(c, stores[i].mode, stores[i].cas, value_max);
            return;
        }
    if (gets_many(name))
        read_get(c);
    else if (word_is(name, "delete"))
        read_delete(c);
    else if (word_is(name, "incr") || word_is(name, "decr"))
        read_arithmetic(c, name.ptr[0] == 'i' ? 'I' : 'D');
    else if (word_is(name, "touch"))
        read_touch(c);
    else
        wrong(c, "ERROR");
}

static bool read_other(struct memcache_command *c)
{
    static const char *const admin[] = {"shutdown",       "watch",        "lru",
                                        "lru_crawler",    "slabs",        "extstore",
                                        "cache_memlimit", "refresh_certs"};
    struct slice name = c->words[0];
    for (size_t i = 0; i < ARRAY_LEN(admin); i++)
        if (word_is(name, admin[i]))
            c->verb = MEMCACHE_ADMIN;
    if (word_is(name, "version"))
        c->verb = MEMCACHE_VERSION;
    else if (word_is(name, "quit"))
        c->verb = MEMCACHE_QUIT;
    else if (word_is(name, "stats"))
        c->verb = MEMCACHE_STATS;
    else if (word_is(name, "verbosity"))
        read_verbosity(c);
    else if (word_is(name, "flush_all"))
        read_flush_all(c);
    return c->verb != MEMCACHE_NOTHING;
}

static void clear(struct memcache_command *c)
{
    struct slice *words = c->words;
    size_t cap = c->cap;
    if (cap > KEEP_WORDS) {
        mem_free(words);
        words = NULL;
        cap = 0;
    }
    *c = (struct memcache_command){.words = words, .cap = cap, .bytes = -1};
}

void memcache_read_line(struct memcache_command *out, struct slice line, size_t value_max)
{
    clear(out);
    split(out, line);
    if (out->nwords == 0 || out->words[0].len < 2)
        wrong(out, "ERROR");
    else if (out->words[0].len == 2 && out->words[0].ptr[0] == 'm')
        read_meta_line(out, value_max);
    else if (!read_other(out))
        read_classic(out, value_max);
}
