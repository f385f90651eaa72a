/* request/inspect: `dyn-admin key`: asks every replica of a key what it has of it. The worker's
 * thread. */
#ifndef REQUEST_INSPECT_H
#define REQUEST_INSPECT_H

#include "request/request.h"

struct inspections {
    struct requests *requests;
    struct slots live;
};

void inspect_start(struct inspections *all, struct mail_inspect *m); /* takes the message */
void inspect_mail_read(struct inspections *all, uint16_t node, const struct read_item *it);
void inspections_fini(struct inspections *all);

#endif
