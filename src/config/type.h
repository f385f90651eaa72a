/* What the types share. Private to this room. */
#ifndef CONFIG_TYPE_H
#define CONFIG_TYPE_H

#include "config/option.h"

/* The option's field in c, and the count behind a list. The const is the caller's to keep. */
static inline void *option_at(const struct option *o, const struct config *c)
{
    return (char *)(uintptr_t)c + o->field;
}
static inline size_t *option_count_at(const struct option *o, const struct config *c)
{
    return (size_t *)(void *)((char *)(uintptr_t)c + o->count);
}

/* A value as a message shows it. */
static inline const char *option_show(const char *text)
{
    return *text ? text : "''";
}

/* Names of pools, racks and datacenters: they are parts of host:port:rack:dc:tokens. */
#define OPTION_NAME_MAX     255
#define OPTION_NAME_ALLOWED "a name of 1..255 characters without blanks, ':' and '/'"
bool option_name_ok(const char *text);

#endif
