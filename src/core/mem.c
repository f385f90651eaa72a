#include "core/mem.h"
#include <malloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static NORETURN void out_of_memory(size_t size)
{
    fprintf(stderr, "dynomited: out of memory: %zu bytes wanted\n", size);
    abort();
}

void *mem_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        out_of_memory(size);
    return p;
}

#define SMALL 1024 /* what glibc keeps per thread and hands out without a lock */

void *mem_calloc(size_t n, size_t size)
{
    /* glibc's calloc (2.36) doesn't look into what it keeps per thread: twice the price */
    if (n <= SMALL && size <= SMALL && n * size <= SMALL)
        return memset(mem_alloc(n * size), 0, n * size);
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p)
        out_of_memory(n > SIZE_MAX / (size ? size : 1) ? SIZE_MAX : n * size);
    return p;
}

void *mem_realloc(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);
    if (!p)
        out_of_memory(size);
    return p;
}

void *mem_dup(const void *src, size_t size)
{
    void *p = mem_alloc(size);
    if (size)
        memcpy(p, src, size);
    return p;
}

char *mem_strdup(const char *s)
{
    return mem_dup(s, strlen(s) + 1);
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    char *out = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&out, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory(0);
    return out;
}

void mem_free(void *p)
{
    free(p);
}

#define BUSY_MS     100 /* of CPU since the last call */
#define QUIET_MS    20
#define QUIET_CALLS 3 /* by then the actors have let go of what their bursts took */

void mem_tidy(uint64_t cpu_ms)
{
    static uint64_t before;
    static unsigned quiet = QUIET_CALLS;
    uint64_t used = cpu_ms - before;
    before = cpu_ms;
    if (used >= BUSY_MS)
        quiet = 0;
    else if (used <= QUIET_MS && quiet < QUIET_CALLS && ++quiet == QUIET_CALLS)
        malloc_trim(0);
}
