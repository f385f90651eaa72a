/* hint/segment: one file of a log: a header, then frames. Internal to the room; log.h tells the
 * whole.
 *
 *     0        8         12       16        24             64      68      72            80
 *     | magic  | version | zero   | first   | peer (40)    | crc   | gone  | acknowledged | frames
 * ...
 *
 * The CRC covers what stands before it. Behind the last frame stand four zeros. `acknowledged` and
 * `gone` lie outside: the sender stores them through the mapping, without a system call: the
 * acknowledged number each time whole records are acknowledged; `gone` when segments before this
 * one are removed because all in them has expired: so many numbers before `first` aren't missing.
 *
 * Who touches what: the writer appends to the tail (`map`, `end`) until it links `next`; from then
 * on, and from the front on always, a segment is the sender's, which reads, syncs, unmaps, expires
 * and frees it. Others see only the fields of this struct that are atomic. */
#ifndef HINT_SEGMENT_H
#define HINT_SEGMENT_H

#include "core/error.h"
#include "core/rcu.h"
#include "wire/frame.h"
#include <stdbool.h>
#include <stdint.h>

#define SEGMENT_HEAD    80u
#define SEGMENT_VERSION 1u
#define SEGMENT_PEER    40u

struct segment {
    struct rcu_head rcu;
    struct segment *next; /* published by the writer */
    uint64_t first;       /* the lowest number it may hold */
    uint64_t named;       /* the number in its file's name; differs after a kill in the middle of a
                             recycle */
    uint64_t end;         /* atomic: bytes in use, header included */
    uint64_t last;        /* atomic: the highest number in it; first - 1: none */
    size_t size;          /* allocated */
    int fd;               /* -1: anonymous memory */
    int dir;              /* directory's descriptor, the log's; -1: anonymous */
    uint8_t *map;         /* NULL: sealed and unmapped */
    bool found;           /* was there at open: its records are checked when read */
    /* atomic, the writer's; of a found one: as segment_scan counts */
    uint64_t records, bytes; /* what was appended to it; payload */
    uint64_t oldest, newest; /* deadlines of its records; UINT64_MAX: oldest: none has one; newest:
                                one never expires */
    bool mixed;              /* atomic: some deadline in it lies before one of an earlier record */
    size_t touched;          /* the writer's: anonymous memory up to here has its pages */
    /* the sender's */
    uint64_t synced; /* bytes known to be on disk */
    uint32_t gone;   /* so many numbers before `first` have expired with their segments */
    struct segment_dead {
        uint64_t before;         /* records before `walked` with a lower deadline are dead */
        uint64_t walked, prev;   /* so far, to behind the number prev, has it been looked through */
        uint64_t oldest;         /* deadline of what lives there; UINT64_MAX: none */
        uint64_t records, bytes; /* the dead that the ack cursor hasn't passed */
    } dead;
};

/* Has this record, which begins at `at`, been counted as expired? */
static inline bool segment_is_dead(const struct segment *s, uint64_t at, const struct frame *f)
{
    return f->deadline && f->deadline < s->dead.before && at < s->dead.walked;
}
/* The writer appended a record with this deadline (0: never expires). */
void segment_note_deadline(struct segment *s, uint64_t deadline);

enum segment_make { SEGMENT_MADE, SEGMENT_NO_SPACE, SEGMENT_IO_ERROR };

/* A new file of `size` bytes, allocated and mapped. On failure no file is left; `e` says why. */
enum segment_make segment_create(int dir, const char *peer, uint64_t first, size_t size,
                                 struct segment **out, struct error *e);
/* The same in anonymous memory. Its pages come as segment_touch asks for them. */
enum segment_make segment_create_memory(uint64_t first, size_t size, struct segment **out,
                                        struct error *e);
/* Makes `old`, whose records are all acknowledged, into the segment that begins at `first`. The
 * struct is a new one (readers may still see the old, which is deferred); old's bytes stay and are
 * told from new ones by their lower numbers. NULL: it can't be renamed; old is gone. */
struct segment *segment_recycle(struct segment *old, const char *peer, uint64_t first);

enum segment_found {
    SEGMENT_OPENED,
    SEGMENT_UNFILLED, /* made, and nothing of it reached the disk before a power cut: removed */
    SEGMENT_STRANGE,  /* not ours to touch (other magic, newer version, another peer, damaged
                         header): left alone */
};
/* Opens a file that was found and reads its header. `*acked`: the number in it. peer NULL:
 * anybody's, which segment_peer tells. */
enum segment_found segment_open(int dir, const char *name, const char *peer, struct segment **out,
                                uint64_t *acked, struct error *e) MUST_USE;
void segment_peer(const struct segment *s, char out[SEGMENT_PEER]); /* while it is mapped */

/* Bytes up to `upto` are about to be written: anonymous memory gets its pages some at a time, which
 * costs a fraction of a page fault each. */
void segment_touch(struct segment *s, uint64_t upto);

/* The peer that a file's header names; false: it has no header of ours. */
bool segment_peer_of_file(int dir, const char *name, char out[SEGMENT_PEER]) MUST_USE;

/* The records end at `at`: four zeros, no frame's length, so that what an earlier use left behind
 * them isn't taken for one that was torn. */
void segment_end(uint8_t *map, uint64_t size, uint64_t at);

struct segment_scan {
    uint64_t records, bytes;             /* with numbers above `acked` */
    uint64_t oldest_stamp;               /* of the first of them */
    uint64_t lowest_stamp, newest_stamp; /* of all of them */
    bool dips;                           /* they don't stand in the order of their stamps */
    uint64_t damaged; /* records with numbers above acked that are missing between readable ones */
    uint64_t torn;    /* bytes of a record that was begun behind the last one */
};
/* Reads one that was opened: its end, its last number, and what is above `acked` in it. */
void segment_scan(struct segment *s, uint64_t acked, struct segment_scan *scan);

/* Closes and removes the file; struct and memory go when readers are done. */
void segment_discard(struct segment *s);
/* The same without removing the file: at the end of the program. */
void segment_close(struct segment *s);

void segment_unmap(struct segment *s); /* a sealed one: pread from now on */
void segment_set_acked(struct segment *s, uint64_t seq);
/* The segment before `s` goes, with all in it expired: its numbers aren't missing. */
void segment_add_gone(struct segment *s, const struct segment *before);

/* The frame at `*at`, or the next readable one behind it with a number above `above`: *at is moved
 * to it. `check`: look at the CRC. Reads through the mapping, or with pread into `window`. False:
 * there is none before `end`. */
struct segment_window {
    struct buf bytes;
    uint64_t from;
    const struct segment *of;
};
bool segment_read(struct segment *s, struct segment_window *w, uint64_t end, uint64_t above,
                  bool check, uint64_t *at, struct frame *f, struct slice *bytes);

#endif
