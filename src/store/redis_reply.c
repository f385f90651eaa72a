#include "store/redis_reply.h"
#include "wire/resp.h"

/* "<type><number>\r\n": the number, and where it ends. */
static bool head_number(struct slice reply, int64_t *n, size_t *end)
{
    const uint8_t *nl = reply.len > 1 ? memchr(reply.ptr, '\n', reply.len) : NULL;
    if (!nl || nl - reply.ptr < 2)
        return false;
    *end = (size_t)(nl - reply.ptr) + 1;
    return slice_to_i64(slice_of(reply.ptr + 1, *end - 3), n);
}

bool redis_array_open(struct slice reply, struct redis_array *a)
{
    int64_t n;
    size_t end;
    if (reply.len == 0 || reply.ptr[0] != '*' || !head_number(reply, &n, &end) || n < 0)
        return false;
    a->left = (size_t)n;
    a->rest = slice_of(reply.ptr + end, reply.len - end);
    return true;
}

bool redis_array_next(struct redis_array *a, struct slice *element)
{
    if (a->left == 0)
        return false;
    struct resp_scanner scan = {0};
    struct error e;
    size_t size;
    if (resp_reply_scan(&scan, a->rest.ptr, a->rest.len, &size, &e) != RESP_OK)
        return false;
    *element = slice_of(a->rest.ptr, size);
    a->rest = slice_of(a->rest.ptr + size, a->rest.len - size);
    a->left--;
    return true;
}

bool redis_is_nil(struct slice reply)
{
    return slice_eq(reply, slice_str("*-1\r\n")) || slice_eq(reply, slice_str("$-1\r\n"));
}

struct slice redis_text(struct slice reply)
{
    if (reply.len < 3)
        return slice_str("");
    return slice_of(reply.ptr + 1, reply.len - 3);
}

bool redis_error_is(struct slice text, const char *word)
{
    const uint8_t *blank = text.len ? memchr(text.ptr, ' ', text.len) : NULL;
    return slice_is(blank ? slice_of(text.ptr, (size_t)(blank - text.ptr)) : text, word);
}

static struct slice without_prefix(struct slice text, const char *prefix)
{
    size_t n = strlen(prefix);
    if (text.len < n || memcmp(text.ptr, prefix, n) != 0)
        return text;
    return slice_of(text.ptr + n, text.len - n);
}

static bool begins(struct slice text, const char *with)
{
    return text.len >= strlen(with) && memcmp(text.ptr, with, strlen(with)) == 0;
}

enum redis_inability redis_inability_of(struct slice text)
{
    if (redis_error_is(text, "NOPERM"))
        return REDIS_FORBIDDEN;
    if (begins(text, "ERR unknown command") || begins(text, "ERR unknown subcommand"))
        return REDIS_UNKNOWN;
    return REDIS_ABLE;
}

enum redis_fault redis_fault_of(struct slice text)
{
    text = without_prefix(text, "EXECABORT Transaction discarded because of: ");
    static const char *const state[] = {"READONLY",    "LOADING",    "MISCONF", "MASTERDOWN",
                                        "NOAUTH",      "NOREPLICAS", "BUSY",    "TRYAGAIN",
                                        "CLUSTERDOWN", "MOVED",      "ASK",     "UNKILLABLE"};
    if (redis_error_is(text, "OOM"))
        return REDIS_FAULT_FULL;
    for (size_t i = 0; i < ARRAY_LEN(state); i++)
        if (redis_error_is(text, state[i]))
            return REDIS_FAULT_STATE;
    return REDIS_FAULT_COMMAND;
}
