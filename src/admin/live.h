/* admin/live: `dyn-admin config get NAME | set NAME VALUE | dump`. The admin actor's thread. */
#ifndef ADMIN_LIVE_H
#define ADMIN_LIVE_H

#include "admin/admin.h"
#include <jansson.h>

/* The answer to `config` with these words behind it, the caller's. NULL: refused, `e` says why. */
json_t *live_answer(const struct admin_sources *s, char *const *word, size_t n, struct error *e);

#endif
