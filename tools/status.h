/* status: `dyn-admin status` for people: this node, then each datacenter with its nodes by rack,
 * this node's own first. */
#ifndef TOOLS_STATUS_H
#define TOOLS_STATUS_H

#include <jansson.h>

void status_print(json_t *status); /* what -o json prints */

#endif
