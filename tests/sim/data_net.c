/* The network, with memory of its own: what it keeps mustn't go with the node that happens to call
 * it. */
#include "core/mem.h"
#include <stdlib.h>

static void *net_calloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p)
        abort();
    return p;
}

static void *net_realloc(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);
    if (!p)
        abort();
    return p;
}

#define mem_calloc      net_calloc
#define mem_alloc(size) net_realloc(NULL, size)
#define mem_realloc     net_realloc
#define mem_free        free
#include "net.c" /* NOLINT: with other functions under the same names */
