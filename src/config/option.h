/* An option: a row of the table, and the types that rows have. Private to this room.
 *
 *      key in the file ---.                       .--> type->add --> a field of struct config
 *                          >-- row of the table --+
 *      flag --------------'                       '<-- type->item <-- --print-conf
 */
#ifndef CONFIG_OPTION_H
#define CONFIG_OPTION_H

#include "config/config.h"
#include "core/error.h"

enum option_scope {
    OPTION_KEY,    /* a key in the file, and a flag */
    OPTION_POOL,   /* the name of the pool in the file, and a flag */
    OPTION_PROCESS /* about this process or this start: a flag only */
};

/* A value that has a name. The list ends with a name of NULL. */
struct option_word {
    const char *name;
    unsigned value;
    enum {
        WORD_NAME, /* how it is printed and listed */
        WORD_ALSO  /* accepted, but not listed */
    } use;
};

struct option {
    const char *name; /* as in YAML; the flag has '-' for '_' */
    char letter;      /* the short flag, or 0 */
    enum option_scope scope;
    const struct option_type *type;
    size_t field, count; /* offsets in struct config; only a list has a count */
    uint64_t min, max;   /* of a number; of the length of a string (max 0: any) */
    unsigned flags;      /* of an address, for address_parse */
    bool live;   /* may change while the node runs: only of a type that is scalar or can publish */
    bool secret; /* not shown to whoever asks a running node */
    const struct option_word *words; /* of what has words */
    const char *fallback;            /* the default as a user would write it; NULL: none */
    const char *value;               /* what --help calls the value */
    const char *help; /* one line; of an ignored option: what replaced it; of a later one none */
};

struct option_type {
    bool is_switch;        /* as a flag it takes no value */
    bool is_list;          /* a sequence in YAML, a repeated flag; `add` appends */
    bool is_text;          /* printed in quotes */
    bool ignored;          /* means nothing here: a warning and no more */
    bool later;            /* doesn't work yet: refused with any value */
    enum config_kind kind; /* of an item */
    size_t scalar; /* the size of the field of a type whose values are one number; 0: not such */
    /* Takes one value. The error reads "found VALUE; allowed ...". */
    bool (*add)(const struct option *o, const char *text, struct config *c, struct error *e);
    size_t (*items)(const struct option *o, const struct config *c); /* NULL: one */
    /* Item i as `add` takes it; the caller frees. NULL function: isn't printed. */
    char *(*item)(const struct option *o, const struct config *c, size_t i);
    void (*clear)(const struct option *o, struct config *c); /* frees; NULL: nothing to free */
    /* Moves the value of `from` to `to`, whose own goes when no other thread reads it any more. */
    void (*publish)(struct config *from, struct config *to);
};

/* NULL: none of the words, or one that doesn't work yet. Any case. */
const struct option_word *option_find_word(const struct option_word *words, const char *text);

extern const struct option_type type_bool, type_switch, type_number, type_bytes, type_string,
    type_name, type_address, type_word, type_choice, type_hash_tag, type_tokens, type_seeds,
    type_servers, type_buckets, type_host, type_url, type_secret, type_fixed,
    type_later_switch, type_ignored, type_ignored_switch;

extern const struct option option_table[];
extern const size_t option_count;

/* NULL: there is none. */
const struct option *option_by_key(const char *key);
const struct option *option_by_flag(const char *flag, size_t len); /* without the dashes */
const struct option *option_by_letter(char letter);
/* "--foo-bar"; the caller frees. */
char *option_flag(const struct option *o);
/* The words that are listed, comma separated; the caller frees. */
char *option_words(const struct option_word *words);

#endif
