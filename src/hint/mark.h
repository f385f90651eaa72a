/* hint/mark: the *needs repair* mark of one peer, kept as the file needs-repair beside its
 * segments: one line, "since(ms) reason", or empty where the disk had no room for it. The first
 * reason stays until the mark is cleared. The sender actor's. */
#ifndef HINT_MARK_H
#define HINT_MARK_H

#include "core/error.h"
#include <stdint.h>

struct hint_mark;
struct hint_mark *hint_mark_open(const char *dir);   /* reads what is there */
void hint_mark_close(struct hint_mark *m);           /* NULL is fine */
uint64_t hint_mark_since(const struct hint_mark *m); /* wall ms; 0: no mark */
/* Sets it, on disk before this returns; nothing happens when it is set already. */
bool hint_mark_set(struct hint_mark *m, uint64_t now_ms, const char *reason,
                   struct error *e) MUST_USE;
/* Tries again to write what the disk refused. Cheap when there is nothing to do. */
void hint_mark_retry(struct hint_mark *m);

#endif
