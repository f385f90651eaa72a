/* Memory. There is one way to get it and it never returns NULL: a server that can't allocate can't
 * keep its promises, so the process ends with a message and the logs on disk tell the rest. Sizes
 * that come from outside are bounded by the caller before they get here. Any thread. */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include "core/compiler.h"
#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
/* `n` zeroed elements of `size` bytes; ends the process when the product overflows. */
void *mem_calloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *p, size_t size) __attribute__((returns_nonnull));
void *mem_dup(const void *p, size_t size) __attribute__((malloc, returns_nonnull));
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));
/* printf into a new string; the caller frees it. */
char *mem_printf(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((malloc, returns_nonnull));
void mem_free(void *p); /* NULL is fine */

/* Zeroed, at a multiple of `align` (a power of two): for what has members on cache lines of their
 * own. */
void *mem_aligned(size_t align, size_t size) __attribute__((malloc, returns_nonnull));

#define MEM_NEW(type)         ((type *)mem_calloc(1, sizeof(type)))
#define MEM_NEW_ALIGNED(type) ((type *)mem_aligned(_Alignof(type), sizeof(type)))

#endif
