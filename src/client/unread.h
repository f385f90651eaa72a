/* client/unread: what a client has asked for and doesn't read. Internal to the room. The worker's
 * thread.
 *
 *     replies unsent     0 ......... client_pause_at ........... client_output_max_bytes
 *     it reads           commands run | they wait: back-pressure |
 *     it doesn't         commands run | after two seconds they go on | it is cut off
 *
 * Who reads, however slowly, is waited for: no more of its commands run than it takes replies. (Up
 * to REPLY_ROOM are in flight by what its last replies were; where they turn out so much larger
 * that they don't fit below the cap, it is cut off, too.)
 *
 * Who takes nothing may be sending all of a long pipeline before it reads: then waiting for it
 * would be for ever, so its commands go on, until what it doesn't read reaches
 * client_output_max_bytes; a megabyte of all such clients in a turn, so that others come between,
 * and only while they keep less than PILE_ROOM (or that cap) waiting. Others stay held up, and go
 * when they have taken nothing for 12 x `timeout`.
 */
#ifndef CLIENT_UNREAD_H
#define CLIENT_UNREAD_H

#include "client/call.h"

/* Bytes of replies to it that wait. */
static inline size_t unread_bytes(const struct client *c)
{
    return c->held + c->stream.out.len;
}
/* It takes nothing, and its commands run all the same. */
bool unread_piles_up(const struct client *c);
/* A turn begins. */
void unread_turn(struct clients *all);
/* At the end of each look at a client, after its socket has been offered what there is. */
void unread_settle(struct client *c);
/* It is closed (gone): what it was counted with isn't any more. */
void unread_gone(struct client *c);
/* Closes a client that has reached client_output_max_bytes; logged, counted. What it has asked for
 * may still take effect. */
void unread_cut_off(struct client *c);

#endif
