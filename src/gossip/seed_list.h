/* gossip/seed_list: nodes that may be asked first, and the texts and packets that name them. Pure,
 * any thread.
 *
 *     struct seed_list l = SEED_LIST_INIT;
 *     seed_list_add_text(&l, body);       "h1:8101:r1:dc1:0|h2:8101:r2:dc1:0"
 *     for (size_t i = 0; i < l.n; i++)
 *         seed_address(&l.seed[i], text);
 *     seed_list_fini(&l);
 *
 * What isn't an entry is passed over: one slip of the pen in a list of a hundred mustn't keep a
 * node out. It is counted, and the first of them is shown. */
#ifndef GOSSIP_SEED_LIST_H
#define GOSSIP_SEED_LIST_H

#include "config/config.h"
#include "core/buf.h"
#include "ring/topology.h"
#include <sys/socket.h>

#define SEED_LIST_MAX RING_NODES_MAX /* more are passed over */
#define SEED_TEXT_MAX 16384          /* bytes of one entry */

struct seed_list {
    struct config_seed *seed; /* of one that is only an address: rack, datacenter and tokens NULL */
    size_t n;
    size_t bad;         /* entries passed over */
    struct error first; /* what is wrong with the first of these */
};
#define SEED_LIST_INIT                                                                             \
    {                                                                                              \
        .seed = NULL                                                                               \
    }

void seed_list_fini(struct seed_list *l); /* it is empty and usable afterwards */

/* One with this address. */
bool seed_list_has(const struct seed_list *l, const struct config_seed *s);

/* An address that the list has is added once; the first place told of it stays. */

/* host:port:rack:dc:tokens, separated by '|' or line ends; blanks around each are fine. */
void seed_list_add_text(struct seed_list *l, struct slice text);
void seed_list_add(struct seed_list *l, const struct config_seed *s); /* copies */
void seed_list_add_all(struct seed_list *l, const struct seed_list *from);
/* Of IPv4 or IPv6; others are passed over. */
void seed_list_add_address(struct seed_list *l, const struct sockaddr *a, uint16_t port);
/* A DNS answer (RFC 1035): each of its TXT records is a text as above, which may be cut into
 * several strings. False: the packet is malformed; nothing is added. */
bool seed_list_add_txt(struct seed_list *l, const uint8_t *packet, size_t len,
                       struct error *e) MUST_USE;

/* host:port, with brackets where they must be. Returns `out`. */
const char *seed_address(const struct config_seed *s, char out[ADDRESS_TEXT_SIZE]);

#endif
