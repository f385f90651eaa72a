/* store/memcached_wire: between the commands and replies of wire/memcache_command.h and what a
 * memcached 1.6 reads and writes. Pure, any thread.
 *
 *     MS key value F5         ->  ms key 5 F5\r\nvalue\r\n        ->  HD\r\n  ->  [HD, nil]
 *     MG key v f              ->  mg key v f\r\n   ->   VA 5 f5\r\nvalue\r\n  ->  [VA, value, f5]
 *
 * Two flags of MG exist inside of this server only: with G it is spoken as get, gets, gat, gats or
 * touch, which unlike mg don't take the right to replace a stale value with them; with E as me,
 * whose text is the reply's value.
 *
 * Uniques. Each memcached counts its own from 1 at its start, so those of two replicas may be equal
 * by chance. What is told of one bears a mark of the node and of its memcached's start in its upper
 * 16 bits; a compared one must bear it, too. */
#ifndef STORE_MEMCACHED_WIRE_H
#define STORE_MEMCACHED_WIRE_H

#include "wire/memcache_command.h"
#include "wire/resp.h"

#define MEMCACHED_VALUE_MAX (1024u * 1024 * 1024) /* of a reply's; more is no memcached */

/* Appends the command as memcached reads it. False, and nothing is appended: memcached could take
 * it for something else than a command of its, or it isn't one; `e` says what memcached would. */
bool memcached_encode(const struct resp_command *cmd, uint16_t mark, struct buf *out,
                      struct error *e) MUST_USE;

/* Finds the end of a reply: of one line, of a value behind one, or of lines up to END (get, stats).
 * As resp_reply_scan. */
enum resp_status memcached_scan(struct resp_scanner *s, const uint8_t *data, size_t len,
                                size_t *size, struct error *e);

/* Appends what a whole reply of memcached is as RESP. */
void memcached_decode(struct slice reply, uint16_t mark, struct buf *out);

bool memcached_is_error(struct slice reply);
/* Its first line without the line's end. */
struct slice memcached_line(struct slice reply);
/* Its first line, word by word. */
bool memcached_word(struct slice *line, struct slice *word);

/* The value of a `STAT name value` line; false: there is none. */
bool memcached_stat(struct slice reply, const char *name, struct slice *value);
/* In an answer to `stats conns`: a connection from there is open. */
bool memcached_names_peer(struct slice reply, const char *host, uint16_t port);
bool memcached_number(struct slice text, uint64_t *out);

#endif
