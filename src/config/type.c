/* The types that an option's value can have: text to field and back. The lists are in list.c. */
#include "config/type.h"
#include "config/option.h"
#include "core/buf.h"
#include "core/mem.h"
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define URL_MAX 2000 /* bytes */

/* A scalar may change while it is shown. */
#define LIVE(ctype, o, c) __atomic_load_n((const ctype *)option_at((o), (c)), __ATOMIC_RELAXED)

static char **string_at(const struct option *o, const struct config *c)
{
    return option_at(o, c);
}

/* --- words: an enum's, a boolean's, a string that is one of a few ------------------------------
 */

static const struct option_word bool_words[] = {
    {"true", true, WORD_NAME},   {"yes", true, WORD_ALSO}, {"on", true, WORD_ALSO},
    {"false", false, WORD_NAME}, {"no", false, WORD_ALSO}, {"off", false, WORD_ALSO},
    {NULL, 0, WORD_NAME},
};

const struct option_word *option_find_word(const struct option_word *words, const char *text)
{
    for (; words->name; words++)
        if (strcasecmp(words->name, text) == 0)
            return words;
    return NULL;
}

static const struct option_word *take_word(const struct option_word *words, const char *text,
                                           struct error *e)
{
    const struct option_word *w = option_find_word(words, text);
    if (w)
        return w;
    char *allowed = option_words(words);
    error_set(e, "found %.100s; allowed %s", option_show(text), allowed);
    mem_free(allowed);
    return NULL;
}

static const char *word_name(const struct option_word *words, unsigned value)
{
    while (words->value != value)
        words++;
    return words->name;
}

static bool word_add(const struct option *o, const char *text, struct config *c, struct error *e)
{
    const struct option_word *w = take_word(o->words, text, e);
    if (!w)
        return false;
    *(unsigned *)option_at(o, c) = w->value;
    return true;
}

static char *word_item(const struct option *o, const struct config *c, size_t i UNUSED)
{
    return mem_strdup(word_name(o->words, LIVE(unsigned, o, c)));
}

const struct option_type type_word = {
    .scalar = sizeof(unsigned), .add = word_add, .item = word_item};

static bool bool_add(const struct option *o, const char *text, struct config *c, struct error *e)
{
    const struct option_word *w = take_word(bool_words, text, e);
    if (!w)
        return false;
    *(bool *)option_at(o, c) = w->value;
    return true;
}

static char *bool_item(const struct option *o, const struct config *c, size_t i UNUSED)
{
    return mem_strdup(word_name(bool_words, LIVE(bool, o, c)));
}

const struct option_type type_bool = {
    .kind = CONFIG_BOOL, .scalar = sizeof(bool), .add = bool_add, .item = bool_item};
const struct option_type type_switch = {.is_switch = true, .add = bool_add};

/* --- numbers -----------------------------------------------------------------------------------
 */

static bool take_number(const struct option *o, const char *text, uint64_t *out, struct error *e)
{
    int64_t n = 0;
    if (!slice_to_i64(slice_str(text), &n) || n < 0 || (uint64_t)n < o->min || (uint64_t)n > o->max)
        return error_set(e, "found %.100s; allowed %" PRIu64 "..%" PRIu64, option_show(text),
                         o->min, o->max);
    *out = (uint64_t)n;
    return true;
}

static bool number_add(const struct option *o, const char *text, struct config *c, struct error *e)
{
    uint64_t n = 0;
    if (!take_number(o, text, &n, e))
        return false;
    *(unsigned *)option_at(o, c) = (unsigned)n; /* the table's range fits */
    return true;
}

static char *number_item(const struct option *o, const struct config *c, size_t i UNUSED)
{
    return mem_printf("%u", LIVE(unsigned, o, c));
}

const struct option_type type_number = {
    .kind = CONFIG_NUMBER, .scalar = sizeof(unsigned), .add = number_add, .item = number_item};

static bool bytes_add(const struct option *o, const char *text, struct config *c, struct error *e)
{
    return take_number(o, text, option_at(o, c), e);
}

static char *bytes_item(const struct option *o, const struct config *c, size_t i UNUSED)
{
    return mem_printf("%" PRIu64, LIVE(uint64_t, o, c));
}

const struct option_type type_bytes = {
    .kind = CONFIG_NUMBER, .scalar = sizeof(uint64_t), .add = bytes_add, .item = bytes_item};

/* --- strings -----------------------------------------------------------------------------------
 */

static void string_set(const struct option *o, struct config *c, char *owned)
{
    mem_free(*string_at(o, c));
    *string_at(o, c) = owned;
}

static void string_clear(const struct option *o, struct config *c)
{
    string_set(o, c, NULL);
}

static char *string_item(const struct option *o, const struct config *c, size_t i UNUSED)
{
    const char *s = *string_at(o, c);
    return mem_strdup(s ? s : "");
}

static bool string_add(const struct option *o, const char *text, struct config *c, struct error *e)
{
    if (strlen(text) < o->min)
        return error_set(e, "found %s; allowed a text that isn't empty", option_show(text));
    string_set(o, c, mem_strdup(text));
    return true;
}

const struct option_type type_string = {
    .is_text = true, .add = string_add, .item = string_item, .clear = string_clear};

bool option_name_ok(const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > OPTION_NAME_MAX)
        return false;
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == ':' || *p == '/')
            return false;
    return true;
}

static bool name_add(const struct option *o, const char *text, struct config *c, struct error *e)
{
    if (!option_name_ok(text))
        return error_set(e, "found %.100s; allowed " OPTION_NAME_ALLOWED, option_show(text));
    string_set(o, c, mem_strdup(text));
    return true;
}

const struct option_type type_name = {
    .is_text = true, .add = name_add, .item = string_item, .clear = string_clear};

static bool choice_add(const struct option *o, const char *text, struct config *c, struct error *e)
{
    const struct option_word *w = take_word(o->words, text, e);
    if (!w)
        return false;
    string_set(o, c, mem_strdup(w->name));
    return true;
}

const struct option_type type_choice = {
    .add = choice_add, .item = string_item, .clear = string_clear};

static bool hash_tag_add(const struct option *o, const char *text, struct config *c,
                         struct error *e)
{
    size_t len = strlen(text);
    if (len != 0 && len != 2)
        return error_set(e, "found %.100s; allowed '' or two characters, as {}", text);
    string_set(o, c, mem_strdup(text));
    return true;
}

const struct option_type type_hash_tag = {
    .is_text = true, .add = hash_tag_add, .item = string_item, .clear = string_clear};

/* Kept as a text: the server parses it where it listens or dials. min 0: may be empty. An address
 * without a default is NULL when it is empty. */
static bool address_add(const struct option *o, const char *text, struct config *c, struct error *e)
{
    struct address ignored;
    if ((*text || o->min) && !address_parse(text, o->flags, &ignored, e))
        return false;
    string_set(o, c, *text || o->fallback ? mem_strdup(text) : NULL);
    return true;
}

const struct option_type type_address = {
    .is_text = true, .add = address_add, .item = string_item, .clear = string_clear};

/* A name without a port is for whoever knows the port. */
static bool host_add(const struct option *o, const char *text, struct config *c, struct error *e)
{
    struct address ignored;
    if (*text && !address_parse_host(text, 1, &ignored, e))
        return false;
    string_set(o, c, mem_strdup(text));
    return true;
}

const struct option_type type_host = {
    .is_text = true, .add = host_add, .item = string_item, .clear = string_clear};

static bool url_ok(const char *text)
{
    size_t scheme = strncasecmp(text, "http://", 7) == 0 ? 7 : 8;
    if (scheme == 8 && strncasecmp(text, "https://", 8) != 0)
        return false;
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return false;
    return text[scheme] && text[scheme] != '/' && strlen(text) <= URL_MAX;
}

static bool url_add(const struct option *o, const char *text, struct config *c, struct error *e)
{
    if (!url_ok(text))
        return error_set(e, "found %.100s; allowed a URL that begins with http:// or https://",
                         option_show(text));
    string_set(o, c, mem_strdup(text));
    return true;
}

const struct option_type type_url = {
    .is_text = true, .add = url_add, .item = string_item, .clear = string_clear};

/* --- an option of which so far one word works -------------------------------------------------
 */

static bool fixed_add(const struct option *o, const char *text, struct config *c UNUSED,
                      struct error *e)
{
    if (option_find_word(o->words, text))
        return true;
    return error_set(e, "found %.100s; allowed %s (anything else is not supported yet)",
                     option_show(text), option_show(o->fallback));
}

static char *fixed_item(const struct option *o, const struct config *c UNUSED, size_t i UNUSED)
{
    return mem_strdup(o->fallback);
}

const struct option_type type_fixed = {.add = fixed_add, .item = fixed_item};

/* --- options that don't work yet: refused with any value, and listed nowhere -------------------
 */

static bool later_switch_add(const struct option *o UNUSED, const char *text UNUSED,
                             struct config *c UNUSED, struct error *e)
{
    return error_set(e, "found the flag; allowed is going without, it is not supported yet");
}

const struct option_type type_later_switch = {
    .later = true, .is_switch = true, .add = later_switch_add};

/* --- options of Netflix Dynomite that mean nothing here ----------------------------------------
 */

const struct option_type type_ignored = {.ignored = true};
const struct option_type type_ignored_switch = {.ignored = true, .is_switch = true};
