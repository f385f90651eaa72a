#include "core/error.h"
#include <stdarg.h>
#include <stdio.h>

bool error_set(struct error *e, const char *fmt, ...)
{
    if (e) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(e->text, sizeof e->text, fmt, ap);
        va_end(ap);
    }
    return false;
}
