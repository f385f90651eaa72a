/* hint/mark: what is to be remembered about one peer over restarts, kept as files beside its
 * segments:
 *
 *     needs-repair    the *needs repair* mark: one line, "since(ms) reason", or empty where the
 * disk had no room for it. The first reason stays until the mark is cleared. window-closed   empty:
 * the peer has been down for longer than its hints live, and nothing more is stored for it until it
 * is back
 *
 * The sender actor's. */
#ifndef HINT_MARK_H
#define HINT_MARK_H

#include "core/error.h"
#include <stdint.h>

struct hint_mark;
struct hint_mark *hint_mark_open(const char *dir);         /* reads what is there */
void hint_mark_close(struct hint_mark *m);                 /* NULL is fine */
void hint_mark_move(struct hint_mark *m, const char *dir); /* its directory has this name now */
void hint_mark_remove(const char *dir); /* the files, and the directory if nothing else is in it */
uint64_t hint_mark_since(const struct hint_mark *m);     /* wall ms; 0: no mark */
const char *hint_mark_reason(const struct hint_mark *m); /* "": not known, or no mark */
bool hint_mark_is_closed(const struct hint_mark *m);
/* Sets it, on disk before this returns; nothing happens when it is set already. False: it is set
 * for this run, and the disk (which may be full: that is why) doesn't have it yet. */
bool hint_mark_set(struct hint_mark *m, uint64_t now_ms, const char *reason,
                   struct error *e) MUST_USE;
/* Takes it away, from the disk first. False: it is there still. */
bool hint_mark_clear(struct hint_mark *m, struct error *e) MUST_USE;
/* Closes or opens the window, on disk before this returns. False: for this run it is done, and the
 * disk doesn't know yet. */
bool hint_mark_close_window(struct hint_mark *m, bool closed, struct error *e) MUST_USE;
/* Tries again what the disk refused. True: there is nothing that it doesn't have. */
bool hint_mark_keep(struct hint_mark *m, struct error *e) MUST_USE;

#endif
