/* gossip/figures: what the gossip actor counts. It alone counts (GOSSIP_COUNT, GOSSIP_ADD); any
 * thread reads (GOSSIP_LOAD). */
#ifndef GOSSIP_FIGURES_H
#define GOSSIP_FIGURES_H

#include <stdint.h>

/* By enum GossipType of proto/gossip.proto, which begins at 1; 0 counts what this version doesn't
 * know. */
#define GOSSIP_KINDS 11
const char *gossip_kind_name(unsigned kind); /* "ping": the label `type` of gossip_messages_total */

/* Why a message was refused. */
enum gossip_refusal {
    GOSSIP_REFUSED_UNREADABLE, /* malformed, too large, of another cluster, or unproven */
    GOSSIP_REFUSED_CONTENT,    /* it said what can't be: SWIM_REFUSED */
    GOSSIP_REFUSED_TWICE,      /* two processes with one id: SWIM_TWICE */
    GOSSIP_REFUSALS
};
const char *gossip_refusal_name(enum gossip_refusal r); /* "unreadable" */

struct gossip_figures {
    uint64_t sent[GOSSIP_KINDS], received[GOSSIP_KINDS];
    uint64_t sent_bytes, received_bytes; /* payloads of frames */
    uint64_t refused[GOSSIP_REFUSALS];
};

#define GOSSIP_LOAD(f, field)   __atomic_load_n(&(f)->field, __ATOMIC_RELAXED)
#define GOSSIP_ADD(f, field, v) __atomic_store_n(&(f)->field, (f)->field + (v), __ATOMIC_RELAXED)
#define GOSSIP_COUNT(f, field)  GOSSIP_ADD(f, field, 1)

#endif
