/* Contracts that the compiler checks. */
#ifndef CORE_COMPILER_H
#define CORE_COMPILER_H

#define MUST_USE          __attribute__((warn_unused_result))
#define PRINTF_LIKE(a, b) __attribute__((format(printf, a, b)))
#define NORETURN          __attribute__((noreturn))
#define UNUSED            __attribute__((unused))
#define CACHE_LINE        64
#define CACHE_ALIGNED     __attribute__((aligned(CACHE_LINE)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct that embeds `member` at `ptr`. Drops const, like every list library does. */
#define container_of_(ptr, type, member)                                                           \
    ((type *)(void *)((char *)(uintptr_t)(ptr)-offsetof(type, member)))

#endif
