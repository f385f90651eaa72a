#include "store/redis_info.h"
#include <stdio.h>
#include <stdlib.h>

/* The value of `name:value\r\n` at the start of a line; "" if it isn't there. */
static void field(struct slice info, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    out[0] = '\0';
    for (size_t i = 0; i + len < info.len;) {
        const uint8_t *line = info.ptr + i;
        const uint8_t *nl = memchr(line, '\n', info.len - i);
        size_t end = nl ? (size_t)(nl - line) : info.len - i;
        if (end > len && memcmp(line, name, len) == 0 && line[len] == ':') {
            size_t n = end - len - 1;
            if (n > 0 && line[end - 1] == '\r')
                n--;
            snprintf(out, size, "%.*s", (int)n, (const char *)line + len + 1);
            return;
        }
        i += end + 1;
    }
}

static bool read_version(struct slice info, char text[64], unsigned *major, unsigned *minor)
{
    field(info, "redis_version", text, 64);
    return sscanf(text, "%u.%u", major, minor) == 2;
}

bool redis_info_too_old(struct slice info, struct error *e)
{
    char v[64];
    unsigned major, minor;
    if (!read_version(info, v, &major, &minor) || major > 6 || (major == 6 && minor >= 2))
        return false;
    (void)error_set(e, "its version is %s; allowed: 6.2 or newer", v);
    return true;
}

bool redis_info_ok(struct slice info, struct error *e)
{
    char v[64];
    unsigned major, minor;
    if (!read_version(info, v, &major, &minor))
        return error_set(e, "INFO names no redis_version");
    if (redis_info_too_old(info, e))
        return false;
    field(info, "cluster_enabled", v, sizeof v);
    if (strcmp(v, "1") == 0)
        return error_set(e, "it is part of a Redis Cluster; allowed: a single server");
    field(info, "loading", v, sizeof v);
    if (strcmp(v, "1") == 0)
        return error_set(e, "it is loading its data");
    field(info, "role", v, sizeof v);
    if (strcmp(v, "master") != 0)
        return error_set(e, "its role is %s; allowed: master", v);
    return true;
}

bool redis_info_evicts(struct slice info)
{
    char v[64];
    field(info, "maxmemory_policy", v, sizeof v);
    return strncmp(v, "allkeys-", 8) == 0;
}
