/* wire/memcache (memcache.c: lines and values; memcache_line.c: what the words of a line mean):
 * what clients of memcached's text protocol send (protocol.txt of memcached 1.6.18), from bytes to
 * a struct. Which lines are refused, and in which words, is as in 1.6.18. Pure: no I/O, no clock. A
 * parser belongs to one connection and so to one thread.
 *
 *     memcache_parse(&parser, bytes, len, &cmd, &error)
 *         RESP_OK     cmd's slices point into `bytes` (a base64 key into cmd); cmd.size bytes are
 *                     used up. When it is being dealt with: memcache_taken(&parser, &cmd)
 *         RESP_MORE   call again with the same start and more behind it
 *         RESP_BAD    the connection is of no more use: `error` says why, send it behind
 *                     "CLIENT_ERROR ", then close
 *
 * A value that memcached would throw away (it is too large, or its line is wrong) is never
 * gathered: the command comes as soon as its line is there, and what follows comes as
 * MEMCACHE_NOTHING, piece by piece. */
#ifndef WIRE_MEMCACHE_H
#define WIRE_MEMCACHE_H

#include "wire/memcache_command.h"

#define MEMCACHE_LINE_MAX     2048               /* but of those that name many keys: */
#define MEMCACHE_GET_LINE_MAX (8u * 1024 * 1024) /* get gets gat gats */
#define MEMCACHE_WORDS_MAX                                                                         \
    23                         /* of a line that isn't one of them: the others are                 \
                                  overlooked, as by memcached */
#define MEMCACHE_OPAQUE_MAX 32 /* with its O */

enum memcache_verb {
    MEMCACHE_NOTHING, /* a part of a value that is thrown away */
    MEMCACHE_WRONG,   /* `answer` is all there is to it */
    MEMCACHE_GET,     /* get gets gat gats: keys are words[first..], at most RESP_ARGS_MAX */
    MEMCACHE_STORE,   /* set add replace append prepend cas */
    MEMCACHE_DELETE,
    MEMCACHE_ARITHMETIC, /* incr decr */
    MEMCACHE_TOUCH,
    MEMCACHE_META_GET, /* mg; flags of the meta commands are words[first..] */
    MEMCACHE_META_SET,
    MEMCACHE_META_DELETE,
    MEMCACHE_META_ARITHMETIC,
    MEMCACHE_META_DEBUG,
    MEMCACHE_META_NOOP,
    MEMCACHE_VERSION,
    MEMCACHE_QUIT,
    MEMCACHE_STATS,
    MEMCACHE_VERBOSITY,
    MEMCACHE_FLUSH_ALL,
    MEMCACHE_ADMIN, /* shutdown watch lru lru_crawler slabs cache_memlimit: about one memcached */
};

/* One command. Zeroed: empty. Kept from command to command. */
struct memcache_command {
    enum memcache_verb verb;
    struct slice *words; /* owned; of the line, its name in front */
    size_t nwords, cap;
    size_t first;     /* of words: where keys or flags begin */
    struct slice key; /* of a command with one key, decoded */
    bool binary;      /* it came in base64 */
    bool quiet;       /* noreply; q: nothing is said of what is nominal */
    bool too_large;   /* the value is: it is thrown away */
    char mode;        /* of storing: S(et) E (add) R(eplace) A(ppend) P(repend); else I or D */
    uint64_t given;   /* memcache_given: what a meta command's flags say, and, in the same letters,
                         what a classic command says */
    int32_t ttl;      /* T: as it was given; flush_all: its delay */
    int32_t vivify;   /* N */
    int32_t recache;  /* R */
    uint32_t flags;   /* F */
    uint32_t level;   /* of verbosity */
    uint64_t cas;     /* C */
    uint64_t delta;   /* D, or what incr and decr say */
    uint64_t initial; /* J */
    int64_t bytes;    /* of the value that follows the line; -1: none does */
    struct slice value;
    const char *answer; /* of MEMCACHE_WRONG: without the end of its line. Also where `quiet` */
    size_t size;        /* bytes that it took from the stream */
    size_t discard;     /* bytes behind it that are its value, and nothing to anybody */
    uint8_t decoded[MEMCACHE_KEY_MAX];
};
void memcache_command_fini(struct memcache_command *c);

/* A flag of a meta command, by its letter. */
static inline bool memcache_given(const struct memcache_command *c, char letter)
{
    return c->given >> (letter - 'A') & 1;
}

/* noreply: it is told nothing, not even an error; where q asks for quiet errors are told. */
static inline bool memcache_is_silent(const struct memcache_command *c)
{
    bool meta = c->verb >= MEMCACHE_META_GET && c->verb <= MEMCACHE_META_NOOP;
    return c->quiet && !meta;
}

/* Where an unfinished command stands. Zeroed: a fresh connection. */
struct memcache_parser {
    size_t value_max; /* bytes; what is larger is too_large. Its owner's */
    size_t seen;      /* no end of line before this */
    size_t want;      /* after RESP_MORE: bytes, from the command's start, that are needed */
    size_t line;      /* of the command's line, with its end; 0: it isn't whole */
    size_t discard;   /* bytes to come that are thrown away */
    bool begun;       /* a command has come */
};

enum resp_status memcache_parse(struct memcache_parser *p, const uint8_t *data, size_t len,
                                struct memcache_command *out, struct error *e);
/* The command that memcache_parse gave last is being dealt with. Before that it may be parsed
 * again.
 */
void memcache_taken(struct memcache_parser *p, const struct memcache_command *c);

/* For memcache.c: does a line with this beginning name keys without a bound? */
bool memcache_names_many(struct slice beginning);
/* The line, without its end, into `out`: all but value and sizes. */
void memcache_read_line(struct memcache_command *out, struct slice line, size_t value_max);

#endif
