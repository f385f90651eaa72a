/* hint/mark: the *needs repair* mark of one peer, kept as the file needs-repair beside its
 * segments: one line, "since(ms) reason", or empty where the disk had no room for it. The first
 * reason stays until the mark is cleared. The sender actor's. */
#ifndef HINT_MARK_H
#define HINT_MARK_H

#include "core/error.h"
#include <stdint.h>

struct hint_mark;
struct hint_mark *hint_mark_open(const char *dir);         /* reads what is there */
void hint_mark_close(struct hint_mark *m);                 /* NULL is fine */
void hint_mark_move(struct hint_mark *m, const char *dir); /* its directory has this name now */
uint64_t hint_mark_since(const struct hint_mark *m);       /* wall ms; 0: no mark */
/* Sets it, on disk before this returns; nothing happens when it is set already. False: it is set
 * for this run, and the disk (which may be full: that is why) doesn't have it yet. */
bool hint_mark_set(struct hint_mark *m, uint64_t now_ms, const char *reason,
                   struct error *e) MUST_USE;
/* Tries again what the disk refused. True: there is nothing that it doesn't have. */
bool hint_mark_keep(struct hint_mark *m, struct error *e) MUST_USE;

#endif
