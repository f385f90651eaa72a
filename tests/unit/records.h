/* Records of transactions for tests, from lines. */
#ifndef RECORDS_H
#define RECORDS_H

#include "core/mem.h"
#include "wire/transaction.h"
#include <check.h>
#include <string.h>

#define LINES(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }
#define NO_LINES                                                                                   \
    (const char *const[])                                                                          \
    {                                                                                              \
        NULL                                                                                       \
    }
#define VERSION "0123456789abcdef"

struct tx_record {
    struct buf bytes;
    struct resp_command cmd;
};

static size_t tx_record_split(char *line, struct slice *words, size_t max)
{
    size_t n = 0;
    for (char *save = NULL, *w = strtok_r(line, " ", &save); w && n < max;
         w = strtok_r(NULL, " ", &save))
        words[n++] = slice_str(w);
    return n;
}

/* keys: with blanks between them, as the words of a line. */
static inline void tx_record_make(struct tx_record *r, struct slice watches, const char *keys,
                                  const char *const *lines)
{
    struct slice key[16], word[16], commands[16];
    struct buf bytes[16] = {BUF_INIT};
    char *texts[17] = {mem_strdup(keys)};
    size_t n = 0, nkeys = tx_record_split(texts[0], key, ARRAY_LEN(key));
    for (; lines[n]; n++) {
        texts[n + 1] = mem_strdup(lines[n]);
        bytes[n] = (struct buf)BUF_INIT;
        resp_add_command(&bytes[n], word, tx_record_split(texts[n + 1], word, ARRAY_LEN(word)));
        commands[n] = buf_slice(&bytes[n]);
    }
    *r = (struct tx_record){.bytes = BUF_INIT};
    transaction_add(&r->bytes, watches, key, nkeys, commands, n);
    ck_assert(resp_command_parse(buf_slice(&r->bytes), &r->cmd));
    for (size_t i = 0; i < n; i++)
        buf_fini(&bytes[i]);
    for (size_t i = 0; i <= n; i++)
        mem_free(texts[i]);
}

static inline void tx_record_unmake(struct tx_record *r)
{
    resp_command_fini(&r->cmd);
    buf_fini(&r->bytes);
}

#endif
