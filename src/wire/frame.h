/* wire/frame: the one codec of log records and link frames. Little-endian, 40 bytes of head:
 *
 *     0        4        8    9     10    12      16       24       32            40
 *     | length | crc32c |kind|flags| tag | zero  |  seq   | stamp  | deadline ms | payload ...
 *
 * length counts everything, itself included; the CRC (Castagnoli, RFC 3720) covers everything
 * behind it. Pure, any thread. */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include "core/buf.h"

#define FRAME_HEAD        40u
#define FRAME_PAYLOAD_MAX (RESP_FRAME_SLACK + 512u * 1024 * 1024)
#define RESP_FRAME_SLACK  (8u * 1024 * 1024) /* a command around a value of 512 MB */

enum frame_kind {
    /* records: what a peer's log holds */
    FRAME_WRITE = 1, /* payload: the command, RESP */
    FRAME_SKIP = 2,  /* the numbers up to seq will not come; payload: u64, the number before them */
    FRAME_BATCH =
        3, /* only in the embedded store's own log (store/wal.h); seq: the batch's number */
    FRAME_PACKED = 4, /* never in a log: records on a link between datacenters, compressed
                         (wire/pack) */
    /* a link's start, in this order */
    FRAME_HELLO = 10,
    FRAME_CHALLENGE,
    FRAME_PROOF,
    FRAME_WELCOME,
    FRAME_REFUSE,
    /* receiver to sender */
    FRAME_ACK = 20,    /* everything up to seq is applied */
    FRAME_REPLY,       /* payload: the store's reply to the write seq, and the same to each of the
                          `stamp` writes before it */
    FRAME_REWIND,      /* a number was missing: go back to behind seq */
    FRAME_STATE,       /* payload: LinkState */
    FRAME_READ_REPLY,  /* seq: the read's id; stamp, tag: of the value; payload: RESP, or what is
                          said where it is asked */
    FRAME_BEAT_WANTED, /* a heartbeat, now: how far are the sender's writes? */
    /* sender to receiver */
    FRAME_READ = 30, /* seq: an id of the sender's; payload: the command, RESP */
    FRAME_INSPECT,   /* the same with a bare key: store_inspect */
    FRAME_EXECUTE,   /* the same with a write that this node is to coordinate; tag: its level */
    FRAME_COPY,      /* the same with a bare key: its copy here, for read repair; tag 1: with the
                        command that makes it. Answer: LinkCopy */
    FRAME_MEND,      /* the same with a LinkMend: a copy that is to take the place of the one here.
                        Answer: +OK, +NEWER (something newer has touched the key), or an error */
    /* both */
    FRAME_BEAT = 40, /* alive; seq: the sender's clock, which comes back as it was; 0: none. stamp,
                        to the receiver: peer/watermarks. deadline, in its answer: its wall clock,
                        ms; 0: none */
    /* on a connection of its own, without a handshake */
    FRAME_GOSSIP = 50, /* payload: GossipEnvelope (gossip/codec) */
};

enum frame_flags {
    FRAME_WANT_REPLY = 1, /* WRITE: somebody waits for what the store says */
    FRAME_FAILED = 2,     /* READ_REPLY: the store couldn't; payload: why. ACK: some of what it
                             acknowledges came too late and was passed over */
};

struct frame {
    uint8_t kind, flags;
    uint16_t tag;
    uint64_t seq, stamp, deadline;
    struct slice payload;
};

enum frame_status { FRAME_OK, FRAME_MORE, FRAME_BAD_LENGTH, FRAME_BAD_CRC };

/* Writes the head for `f` (payload bytes are read for the CRC, not copied). */
void frame_head(const struct frame *f, uint8_t head[FRAME_HEAD]);
/* The same with the payload in two parts, which stand one behind the other. */
void frame_head2(const struct frame *f, struct slice more, uint8_t head[FRAME_HEAD]);
void frame_add(struct buf *b, const struct frame *f); /* head and payload */
/* A store's reply as it goes between nodes: itself, or an error where it is larger than a frame may
 * be (only a Redis gives such: one reply of many large elements). */
struct slice frame_reply(struct slice reply);
/* The number of the first write that a FRAME_REPLY is about. */
static inline uint64_t frame_reply_first(const struct frame *f)
{
    return f->stamp < f->seq ? f->seq - f->stamp : 1;
}
/* A FRAME_SKIP: the numbers above `from`, up to `upto`, will not come. */
void frame_add_skip(struct buf *b, uint64_t from, uint64_t upto);
/* False: its payload has another size. */
bool frame_skip_from(const struct frame *f, uint64_t *from);
static inline size_t frame_size(size_t payload)
{
    return FRAME_HEAD + payload;
}

/* Reads one frame at the start of `data`: FRAME_OK fills *out (payload borrowed) and *size.
 * FRAME_MORE: *size bytes are needed in all (FRAME_HEAD while the length isn't there yet).
 * FRAME_BAD_LENGTH: below FRAME_HEAD or a payload over max_payload. FRAME_BAD_CRC: *size is set. */
enum frame_status frame_parse(const uint8_t *data, size_t len, size_t max_payload,
                              struct frame *out, size_t *size);

/* The same for what was checked before and lies in our own memory: without a look at the CRC. */
enum frame_status frame_parse_checked(const uint8_t *data, size_t len, size_t max_payload,
                                      struct frame *out, size_t *size);

/* Castagnoli CRC, in hardware where the processor has it; start with 0, pass on to continue. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
