/* wire/resp: RESP2 (https://redis.io/docs/reference/protocol-spec/) between bytes and structs.
 * Pure: no I/O, no clock. A parser belongs to one connection and so to one thread.
 *
 *     resp_request_parse(&parser, bytes, len, &cmd, &error)
 *         RESP_OK     cmd.argv point into `bytes`; cmd.size bytes are used up
 *         RESP_MORE   call again with the same start and more behind it; nothing is parsed twice
 *         RESP_BAD    protocol error, `error` has Redis's words ("Protocol error: ..."): send them
 *                     behind "-ERR ", then close; what comes behind can't be understood
 *
 * Ends of lines and of arguments must be CRLF, where Redis takes any byte for the LF: a length that
 * doesn't fit its bytes is then an error and not somebody's next command.
 */
#ifndef WIRE_RESP_H
#define WIRE_RESP_H

#include "core/buf.h"
#include "core/error.h"

#define RESP_BULK_MAX         (512u * 1024 * 1024)               /* one argument */
#define RESP_COMMAND_MAX      (RESP_BULK_MAX + 4u * 1024 * 1024) /* a whole command: fits a frame */
#define RESP_ARGS_MAX         (1024 * 1024) /* arguments of one command, as in Redis */
#define RESP_UNKNOWN_ARGS_MAX 10u           /* of a client that hasn't said the password */
#define RESP_UNKNOWN_BULK_MAX 16384u        /* likewise, one argument */
#define RESP_INLINE_MAX       (64 * 1024)   /* an inline command, and the line of a length */
#define RESP_LINE_MAX         (1024 * 1024) /* a reply's line: a status, an error, a number */
#define RESP_DEPTH_MAX        16            /* arrays in arrays in a reply */

enum resp_status { RESP_OK, RESP_MORE, RESP_BAD };

/* One command. argv[0] is its name. The slices point into the bytes that were parsed, those of an
 * inline command into `scratch`; both are good until the bytes move or the next command is parsed
 * into the same struct. Zeroed: empty. */
struct resp_command {
    struct slice *argv; /* owned, grows; kept from command to command */
    size_t argc, cap;
    size_t size;        /* bytes that the command took from the stream */
    struct slice whole; /* those bytes, where they are a multibulk: it can be passed on as it is;
                           else empty */
    struct buf scratch; /* owned: an inline command's arguments without their quotes */
};
void resp_command_fini(struct resp_command *c);

/* Where an unfinished command stands, as offsets from its first byte. Zeroed: a fresh parser, and
 * so it is again after RESP_OK and RESP_BAD. Keeps at most a few KB between commands. */
struct resp_parser {
    size_t pos;   /* everything before is understood */
    size_t seen;  /* no end of line before this */
    int64_t left; /* arguments still to come; 0: at a command's start */
    int64_t bulk; /* length of the argument that is being read; -1: its header comes next */
    size_t *args; /* offset, length pairs of the arguments so far; empty until a command is split */
    size_t nargs, cap;
    bool unknown_client; /* set by the owner: the narrower limits count, RESP_UNKNOWN_* */
    size_t want; /* after RESP_MORE: bytes, from the command's start, that are needed at least */
};
void resp_parser_fini(struct resp_parser *p);

/* Takes multibulk and inline commands (with quotes and escapes, as in redis-cli, for people with
 * telnet). An empty line, `*0` and `*-1` are RESP_OK with argc 0. Arguments over RESP_BULK_MAX,
 * commands over RESP_COMMAND_MAX, more than RESP_ARGS_MAX arguments and inline lines over
 * RESP_INLINE_MAX are RESP_BAD before memory is taken for them. Takes no memory when the command is
 * there as a whole and `out` has held one with as many arguments. `data` may lie elsewhere when the
 * call is repeated, as long as it holds the same bytes. */
enum resp_status resp_request_parse(struct resp_parser *p, const uint8_t *data, size_t len,
                                    struct resp_command *out, struct error *e);

/* A stored command (the payload of a log record) at once. False: it isn't one multibulk command
 * from the first byte to the last. */
bool resp_command_parse(struct slice bytes, struct resp_command *out) MUST_USE;

/* Finds the end of one reply of a backend, nested arrays included. Zeroed: fresh; resumable like
 * the request parser. On RESP_OK `*size` is its length and the scanner is fresh again. On RESP_BAD
 * `error` says what was wrong; the connection is of no more use. Arrays nest up to RESP_DEPTH_MAX,
 * strings end at RESP_BULK_MAX, lines at RESP_LINE_MAX. Takes RESP2 and, harmlessly, RESP3's scalar
 * types (_ # , ( = !). */
struct resp_scanner {
    size_t pos;  /* everything before is understood */
    size_t seen; /* no end of line before this */
    uint32_t depth;
    int64_t left[RESP_DEPTH_MAX]; /* elements still to come, of each open array */
};
enum resp_status resp_reply_scan(struct resp_scanner *s, const uint8_t *data, size_t len,
                                 size_t *size, struct error *e);

/* Writing, requests and replies alike. Appends to `b`. */
void resp_add_array(struct buf *b, size_t n);
void resp_add_bulk(struct buf *b, struct slice s);
void resp_add_bulk_str(struct buf *b, const char *s);
void resp_add_nil(struct buf *b); /* $-1 */
void resp_add_int(struct buf *b, int64_t v);
void resp_add_status(struct buf *b, const char *s); /* +s */
void resp_add_error(struct buf *b, const char *fmt, ...)
    PRINTF_LIKE(2, 3); /* -text; CR and LF become blanks, at its end nothing */
void resp_add_command(struct buf *b, const struct slice *argv, size_t argc);
/* The same of a command that was parsed: its bytes as they came, where they can be used. */
void resp_pass_command(struct buf *b, const struct resp_command *cmd);

/* Reading a whole reply: of type ':' its number. */
bool resp_reply_int(struct slice reply, int64_t *out) MUST_USE;
/* Of type '$' the bytes, without copying; false for nil or another type. */
bool resp_reply_bulk(struct slice reply, struct slice *out) MUST_USE;
static inline bool resp_reply_is_error(struct slice reply)
{
    return reply.len > 0 && reply.ptr[0] == '-';
}

#endif
