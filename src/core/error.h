/* An expected failure as a value: a text that names the thing, the value found and the value
 * allowed, so that a user can act on it. Functions that can fail return bool (true: done) and fill
 * a caller's struct error on false; outputs are written only on success. Any thread. */
#ifndef CORE_ERROR_H
#define CORE_ERROR_H

#include "core/compiler.h"
#include <stdbool.h>

struct error {
    char text[512]; /* one line, no newline at its end; cut when longer */
};

/* Formats into `e` (may be NULL: nobody wants the reason) and returns false, so that a failing
 * function ends in `return error_set(e, ...)`. */
bool error_set(struct error *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
