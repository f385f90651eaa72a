/* peer/hinting: what of a peer's log counts as hints, and what becomes of it: on disk before its
 * verdicts, delivered, expired, truncated; and the *needs repair* mark, which is set when something
 * that the peer should have got is gone.
 *
 *     acknowledged              hints end here            appended
 *          |------- hints -----------|---- in flight to a live peer ----|       one peer's log
 *
 * While the peer is down, STANDBY, paused or gets its hints at a rate, all that isn't acknowledged
 * is hints; else what was appended up to the mark that was set when it came back, or further up to
 * the last record that was appended more than send_window behind (late).
 *
 * The window: a peer that is down when its oldest hint passes its deadline has been away for too
 * long. Nothing more is stored for it (peer->closed, which the writer reads) until it is back.
 *
 * What is counted stands in the hint store (hint/store.h), whose consumer for this peer this is.
 * The sender actor's, all of it. */
#ifndef PEER_HINTING_H
#define PEER_HINTING_H

#include "config/config.h"
#include "hint/mark.h"
#include "peer/delivery.h"
#include "peer/peer.h"
#include "peer/waiters.h"

struct hinting {
    const struct config *config;
    struct topology *const *topology; /* for the peer's address in the log */
    struct peer *peer;
    struct waiters *waiters;       /* those who wait for verdicts about this peer; borrowed */
    struct delivery *delivery;     /* borrowed */
    const uint32_t *clock_trusted; /* atomic: hints may expire */
    /* its own */
    char *dir;              /* of the log; NULL: memory */
    struct hint_mark *mark; /* NULL: memory */
    uint64_t unkept;  /* who waited for numbers up to this one knows that they aren't on disk */
    uint64_t damaged; /* of the log's damage: what the mark knows of */
    bool sync_wanted; /* at the turn's end */
    bool held;        /* the rate holds up what waits: who writes meanwhile gets a hint's verdict */
    struct {
        bool open;
        uint64_t from, upto; /* what lies between is thrown away, once all up to `from`, which is
                                on its way, is acknowledged or lost */
    } cut;
    uint64_t cut_records, cut_bytes; /* of the last truncation */
};

/* Before the actor starts: everything found in the log is hints. `dir` is copied; the rest of what
 * is borrowed stands in `h`. */
void hinting_init(struct hinting *h, const char *dir);
void hinting_fini(struct hinting *h);

/* The peer's address, for the log. */
const char *hinting_address(const struct hinting *h, char out[300]);

/* Sets or ends `peer->hinting` by what is known of the peer now. What isn't acknowledged becomes
 * hints, on disk, and its waiters get their verdicts. up: it takes what is sent. */
void hinting_follow(struct hinting *h, enum node_state state, bool up);
/* There are waiters for it: at the turn's end what is a hint is brought to disk. */
void hinting_appended(struct hinting *h, bool hints);
void hinting_turn_end(struct hinting *h);

/* The receiver has everything up to `seq`: before the log is told. True: a truncation that waited
 * for this is done. */
bool hinting_before_ack(struct hinting *h, uint64_t seq);
/* After the log was told. */
void hinting_acked(struct hinting *h, uint64_t seq);
/* So many records were passed over by the delivery, since they had expired. */
void hinting_expired(struct hinting *h, uint64_t records);

/* Everything appended is as durable as hints are when this returns true. */
bool hinting_sync(struct hinting *h, struct error *e) MUST_USE;

/* Throws all hints away that are there now. True: done, cut_records and cut_bytes of them. False:
 * some are on their way; hinting_before_ack or hinting_lost says when it is done. `up`: as above.
 */
bool hinting_truncate(struct hinting *h, bool up);
/* What was on its way is lost. True: a truncation that waited for it is done. */
bool hinting_lost(struct hinting *h);
/* The number up to which there are hints now. */
uint64_t hinting_end(const struct hinting *h);
/* Are there hints from a time when it was away? Else those that there are lie more than send_window
 * behind in the traffic of a peer that is up. */
bool hinting_was_away(const struct hinting *h);

/* Now and then: damage, expiry (where no delivery passes over what has expired: `idle`), and what
 * the disk refused before. */
void hinting_sweep(struct hinting *h, bool idle, bool up);
/* hint_sync: interval. Each second. */
void hinting_flush(struct hinting *h);

/* Another node takes the peer's place: the log's directory gets the name `id`, the mark goes along.
 * False: it keeps the old one. */
bool hinting_rename(struct hinting *h, const char *id, struct error *e) MUST_USE;

void hinting_needs_repair(struct hinting *h, const char *reason);
/* False: the disk doesn't let go of the mark. */
bool hinting_repaired(struct hinting *h, struct error *e) MUST_USE;

#endif
