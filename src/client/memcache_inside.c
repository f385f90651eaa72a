/* What the stores are asked: MG MS MD MA with the flags that matter to them
 * (wire/memcache_command.h), numbers written plainly. */
#include "client/memcache.h"
#include "core/mem.h"
#include <inttypes.h>
#include <stdio.h>

#define KEEP_ARGS 1024u

static void push(struct client *c, struct slice arg)
{
    struct resp_command *cmd = &c->cmd;
    if (cmd->argc == cmd->cap) {
        cmd->cap = cmd->cap ? cmd->cap * 2 : 16;
        cmd->argv = mem_realloc(cmd->argv, cmd->cap * sizeof *cmd->argv);
    }
    cmd->argv[cmd->argc++] = arg;
}

static void push_flag(struct client *c, const char *flag)
{
    push(c, slice_str(flag));
}

static char *number_room(struct client *c)
{
    return c->memcache->numbers[c->memcache->nnumbers++];
}

static void push_signed(struct client *c, char letter, int64_t v)
{
    char *to = number_room(c);
    int n = snprintf(to, sizeof c->memcache->numbers[0], "%c%" PRId64, letter, v);
    push(c, slice_of(to, (size_t)n));
}

static void push_unsigned(struct client *c, char letter, uint64_t v)
{
    char *to = number_room(c);
    int n = snprintf(to, sizeof c->memcache->numbers[0], "%c%" PRIu64, letter, v);
    push(c, slice_of(to, (size_t)n));
}

/* A connection that once asked for very many keys doesn't hold the memory for ever. */
static void begin(struct client *c, const char *name)
{
    c->memcache->nnumbers = 0;
    c->cmd.argc = 0;
    if (c->cmd.cap > KEEP_ARGS) {
        mem_free(c->cmd.argv);
        c->cmd.argv = NULL;
        c->cmd.cap = 0;
    }
    c->cmd.whole = slice_of(NULL, 0);
    push(c, slice_str(name));
}

static void begin_key(struct client *c, const char *name)
{
    begin(c, name);
    push(c, c->memcache->cmd.key);
}

/* G: `get`, and not `mg`, which would take the right to replace a stale value. */
static size_t inside_get(struct client *c)
{
    const struct memcache_command *m = &c->memcache->cmd;
    begin(c, "MG");
    for (size_t i = m->first; i < m->nwords; i++)
        push(c, m->words[i]);
    size_t keys = c->cmd.argc - 1;
    push_flag(c, "G");
    push_flag(c, "v");
    push_flag(c, "f");
    if (memcache_given(m, 'c'))
        push_flag(c, "c");
    if (memcache_given(m, 'T'))
        push_signed(c, 'T', m->ttl);
    return keys;
}

static void inside_touch(struct client *c)
{
    begin_key(c, "MG");
    push_flag(c, "G");
    push_signed(c, 'T', c->memcache->cmd.ttl);
}

static void inside_debug(struct client *c)
{
    begin_key(c, "MG");
    push_flag(c, "E");
}

static void push_number(struct client *c, char letter)
{
    const struct memcache_command *m = &c->memcache->cmd;
    switch (letter) {
    case 'T':
        push_signed(c, 'T', m->ttl);
        break;
    case 'N':
        push_signed(c, 'N', m->vivify);
        break;
    case 'R':
        push_signed(c, 'R', m->recache);
        break;
    case 'J':
        push_unsigned(c, 'J', m->initial);
        break;
    case 'D':
        push_unsigned(c, 'D', m->delta);
        break;
    }
}

/* Those of a meta command's flags that have these letters, in the client's order: what t tells
 * depends on whether T stands before it. */
static void push_flags(struct client *c, const char *wishes, const char *numbers)
{
    const struct memcache_command *m = &c->memcache->cmd;
    for (size_t i = m->first; i < m->nwords; i++) {
        char letter = (char)m->words[i].ptr[0];
        if (strchr(wishes, letter))
            push(c, slice_of(m->words[i].ptr, 1));
        else if (strchr(numbers, letter))
            push_number(c, letter);
    }
}

static void inside_meta_get(struct client *c)
{
    begin_key(c, "MG");
    push_flags(c, "stcfhlvu", "NRT");
}

/* What memcached compares: where it stores all the same, or never does, C is left out. */
static bool compares(const struct memcache_command *m)
{
    bool joins = m->mode == 'A' || m->mode == 'P';
    return memcache_given(m, 'C') && m->mode != 'E' && (m->cas || !joins);
}

/* NULL: it stores whatever there is, or compares. */
static const char *mode_flag(const struct memcache_command *m)
{
    switch (m->mode) {
    case 'E':
        return "ME";
    case 'A':
        return "MA";
    case 'P':
        return "MP";
    case 'R':
        return compares(m) ? NULL : "MR";
    default:
        return NULL;
    }
}

/* append and prepend leave flags and lifetime alone; cas replaces, as set and replace do. */
static void inside_store(struct client *c)
{
    const struct memcache_command *m = &c->memcache->cmd;
    bool joins = m->mode == 'A' || m->mode == 'P';
    begin_key(c, "MS");
    push(c, m->value);
    if (m->flags && !joins)
        push_unsigned(c, 'F', m->flags);
    if (m->ttl && !joins)
        push_signed(c, 'T', m->ttl);
    if (compares(m))
        push_unsigned(c, 'C', m->cas);
    if (compares(m) && !joins && memcache_given(m, 'I'))
        push_flag(c, "I");
    if (memcache_given(m, 'c'))
        push_flag(c, "c");
    const char *mode = mode_flag(m);
    if (mode)
        push_flag(c, mode);
}

static void inside_delete(struct client *c)
{
    const struct memcache_command *m = &c->memcache->cmd;
    begin_key(c, "MD");
    if (memcache_given(m, 'C'))
        push_unsigned(c, 'C', m->cas);
    if (memcache_given(m, 'I'))
        push_flag(c, "I");
    if (memcache_given(m, 'I') && memcache_given(m, 'T'))
        push_signed(c, 'T', m->ttl);
}

/* J says nothing without N. */
static void inside_arithmetic(struct client *c)
{
    const struct memcache_command *m = &c->memcache->cmd;
    begin_key(c, "MA");
    if (m->verb == MEMCACHE_META_ARITHMETIC)
        push_flags(c, "vtc", memcache_given(m, 'N') ? "NJDT" : "DT");
    else
        push_flag(c, "v");
    if (m->verb == MEMCACHE_ARITHMETIC && m->delta != 1)
        push_unsigned(c, 'D', m->delta);
    if (memcache_given(m, 'C') && m->cas)
        push_unsigned(c, 'C', m->cas);
    if (m->mode == 'D')
        push_flag(c, "MD");
}

size_t memcache_inside(struct client *c)
{
    switch (c->memcache->cmd.verb) {
    case MEMCACHE_GET:
        return inside_get(c);
    case MEMCACHE_TOUCH:
        inside_touch(c);
        break;
    case MEMCACHE_META_GET:
        inside_meta_get(c);
        break;
    case MEMCACHE_META_DEBUG:
        inside_debug(c);
        break;
    case MEMCACHE_STORE:
    case MEMCACHE_META_SET:
        inside_store(c);
        break;
    case MEMCACHE_DELETE:
    case MEMCACHE_META_DELETE:
        inside_delete(c);
        break;
    default:
        inside_arithmetic(c);
    }
    return 1;
}

void memcache_inside_too_large(struct client *c)
{
    begin_key(c, "MD");
}

void memcache_inside_flush(struct client *c)
{
    begin(c, "FLUSHALL");
}
