/* hint/log: everything this node has written for one peer and the peer hasn't acknowledged yet:
 * numbered records in file-backed, memory-mapped segments (DESIGN.md sections 3 and 7).
 *
 *     acknowledged        read (sent)         appended
 *          |---- in flight ----|---- not sent ----|
 *     ... [rec][rec][rec][rec][rec][rec][rec][rec]          one peer's log
 *      segment A        segment B       segment C (tail)
 *
 * One producer, the writer actor, appends; one consumer, the peer's sender actor, reads, syncs,
 * acknowledges and frees. They share two published positions (release/acquire) and the RCU list of
 * segments; there is no lock. Anybody may ask for figures at any time.
 *
 * A segment is <dir>/<first seq, 16 hex digits>.log: a header, then frames (wire/frame.h) of kind
 * FRAME_WRITE. Its space is allocated when it is made, so that a full disk is an error of
 * hint_log_append and not a SIGBUS. A caught-up peer keeps one segment of 64 KB; sizes double to 16
 * MB while the log grows; a record that is larger gets a segment of its own. Acknowledged segments
 * are used again (renamed, a new header): since numbers are never used twice, the first record
 * whose number isn't above the one before, or lies below the segment's first, is the end. The
 * header carries the acknowledged number (plain 8-byte store through the mapping) so that a restart
 * doesn't count what was acknowledged. Sealed segments are unmapped and read with pread.
 *
 * With dir NULL segments are anonymous memory and hint_log_sync does nothing.
 */
#ifndef HINT_LOG_H
#define HINT_LOG_H

#include "core/buf.h"
#include "core/error.h"
#include "wire/frame.h"

struct hint_log;

/* A place in a log: a number, and how many records and payload bytes lie before and at it, counted
 * since the log was opened. Differences of two positions are what figures are made of. */
struct hint_position {
    uint64_t seq;
    uint64_t records;
    uint64_t bytes; /* payload */
};

struct hint_log_options {
    const char *dir;  /* made if missing; NULL: memory only */
    const char *peer; /* goes into each segment's header: its id, or its new-... name */
    bool adopt;       /* what the segments found say counts; `peer` where there is none */
    size_t segment_min, segment_max; /* 0: 64 KB, 16 MB */
    size_t limit; /* bytes of records that may lie unacknowledged (one larger one may lie alone),
                     0 = no limit: for a memory log of at most send_window (enable_hinted_handoff:
                     false) */
};

/* What was found at open, for the log line, the counters and the needs-repair mark. */
struct hint_log_report {
    uint64_t records, bytes; /* unacknowledged */
    uint64_t damaged;        /* records with a bad CRC or length, skipped; the rest is kept */
    uint64_t torn_bytes;     /* cut off the end of the newest segment */
    uint64_t missing; /* segments whose name isn't where the one before ended (only gaps within one
                         upper half), unreadable, or of a newer version */
    char detail[256]; /* the first of these in words */
};

/* Opens or makes a log; before its two actors start. Numbers go on above everything found and above
 * `floor` (the start mark << 32). */
struct hint_log *hint_log_open(const struct hint_log_options *o, uint64_t floor,
                               struct hint_log_report *report, struct error *e) MUST_USE;
/* Is it a log of this peer, as its segments' headers have it? */
bool hint_log_is_of(const char *dir, const char *peer);
/* Does the directory hold segments? */
bool hint_log_exists(const char *dir);
/* What goes into the segments' headers. */
const char *hint_log_peer(const struct hint_log *l);
/* The directory has another name now; while neither actor is at work on this log. */
void hint_log_renamed(struct hint_log *l, const char *dir);
/* Removes the segments in a directory; no log has it open that is used again. */
void hint_log_remove_files(const char *dir);
/* Other ones than those of hint_log_options. Before the first append. */
void hint_log_tune(struct hint_log *l, size_t segment_min, size_t limit);
/* After both actors have ended. Unmaps and closes; files stay. */
void hint_log_close(struct hint_log *l);

/* ---- the writer actor -------------------------------------------------------------------- */

enum hint_append {
    HINT_APPENDED,
    HINT_NO_SPACE,  /* the disk (or the limit) is full */
    HINT_IO_ERROR,  /* anything else the system refused; errno text in hint_log_error() */
    HINT_TOO_LARGE, /* payload over FRAME_PAYLOAD_MAX */
};
/* Copies the record in and publishes it. `f->seq` is set to its number: the one after the last.
 * A refused append changes nothing. memory_ok: where the disk is full, the record may lie in
 * anonymous memory (a live peer's; hint_log_sync then fails until it is acknowledged). */
enum hint_append hint_log_append(struct hint_log *l, struct frame *f, bool memory_ok);
const char *hint_log_error(const struct hint_log *l);
/* The lower half is about to run out: go on at `floor` (a new start mark << 32, made durable
 * first). */
bool hint_log_needs_floor(const struct hint_log *l);
void hint_log_set_floor(struct hint_log *l, uint64_t floor);
/* No unacknowledged record has a lower stamp (it may be lower than all of them for a while after an
 * acknowledgement); UINT64_MAX: there is none. */
uint64_t hint_log_lowest_stamp(const struct hint_log *l);

/* ---- the sender actor --------------------------------------------------------------------- */

/* The oldest record with a number above `after`; its bytes (the whole frame, ready for the socket)
 * and head. The slice is valid until the next call of hint_log_next or hint_log_ack on this log.
 * False: there is none yet. Damaged records are stepped over and counted (in figures). Going on
 * from the last record is cheap; going back re-reads from the segment's index. */
bool hint_log_next(struct hint_log *l, uint64_t after, struct frame *head, struct slice *bytes);

/* Everything appended up to now is on disk when this returns true (fdatasync of segments with
 * unsynced bytes, and of the directory where a segment was made or renamed). *synced is the number
 * up to which that holds. */
bool hint_log_sync(struct hint_log *l, uint64_t *synced, struct error *e) MUST_USE;
/* The same, but for segments in memory whose records have numbers up to `known`: of these somebody
 * was told already that they aren't on disk, and what is on disk behind them is. */
bool hint_log_sync_behind(struct hint_log *l, uint64_t known, uint64_t *synced,
                          struct error *e) MUST_USE;
/* The same in three steps, for who lets others be the sender meanwhile: `begin` and `end` are the
 * sender's, `run`, which waits for the disk, any thread's. Between begin and end no other begins on
 * this log. */
struct hint_sync {
    uint64_t upto; /* its end: the number up to which all is on disk */
    struct {
        int fd;
        uint64_t first, end;
    } segment[16];
    unsigned n;
    bool borrowed;  /* the descriptors are the segments'; else the job's own */
    bool more;      /* there were more segments: run, end, and begin again */
    uint64_t known; /* those up to this number may */
    bool unstored;  /* records lie in memory only */
};
void hint_log_sync_begin(struct hint_log *l, struct hint_sync *job);
bool hint_log_sync_run(struct hint_log *l, struct hint_sync *job, struct error *e) MUST_USE;
void hint_log_sync_end(struct hint_log *l, struct hint_sync *job, bool synced);

/* The peer has applied everything up to seq: whole segments behind it are freed or kept for use
 * again. Lower numbers than before are ignored, and so is what lies above all that was appended. */
void hint_log_ack(struct hint_log *l, uint64_t seq);

/* Records whose deadline lies before now_ms are dropped, wherever they lie: returns how many. They
 * count as acknowledged in the figures from now on, hint_log_next passes over them, and those at
 * the front are acknowledged. A segment in which all have expired goes whole, one in which none has
 * isn't touched, one in between is walked: its bytes stay until it goes. */
uint64_t hint_log_expire(struct hint_log *l, uint64_t now_ms);

/* Would that take something from the disk that no later start would find expired? Who keeps word of
 * it does so first. (What is walked, in the middle of the log, stays on disk.) *oldest (NULL is
 * fine): the oldest record there is goes. */
bool hint_log_expires(struct hint_log *l, uint64_t now_ms, bool *oldest);

/* How many of the acknowledged records couldn't be read. */
uint64_t hint_log_lost(const struct hint_log *l);

/* ---- anybody, any time --------------------------------------------------------------------- */

struct hint_position hint_log_appended(const struct hint_log *l);
/* seq: the number acknowledged; records, bytes: what is gone: acknowledged, lost or expired. */
struct hint_position hint_log_acked(const struct hint_log *l);
/* Wall ms of the stamp of the oldest unacknowledged record; 0: none. */
uint64_t hint_log_oldest_ms(const struct hint_log *l);
/* Records (and, at open, segments) that were there and can't be read. */
uint64_t hint_log_damaged(const struct hint_log *l);

#endif
