#include "gossip/figures.h"

const char *gossip_kind_name(unsigned kind)
{
    static const char *const names[GOSSIP_KINDS] = {"unknown", "ping",   "ack",     "ask",
                                                    "nack",    "news",   "contact", "welcome",
                                                    "sync",    "digest", "words"};
    return names[kind < GOSSIP_KINDS ? kind : 0];
}

const char *gossip_refusal_name(enum gossip_refusal r)
{
    static const char *const names[GOSSIP_REFUSALS] = {"unreadable", "content", "twice"};
    return names[r];
}
