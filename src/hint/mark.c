#include "hint/mark.h"
#include "core/datadir.h"
#include "core/log.h"
#include "core/mem.h"
#include <inttypes.h>
#include <stdlib.h>

#define MARK_FILE 4096

struct hint_mark {
    char *path;
    uint64_t since_ms;
    char *unkept; /* the line that the disk doesn't have yet */
};

struct hint_mark *hint_mark_open(const char *dir)
{
    struct hint_mark *m = MEM_NEW(struct hint_mark);
    struct buf b = BUF_INIT;
    struct error e;
    bool missing = false;
    m->path = mem_printf("%s/needs-repair", dir);
    if (!file_read(m->path, MARK_FILE, &b, &missing, &e))
        log_error("%s", e.text);
    buf_add(&b, "", 1);
    if (!missing) {
        m->since_ms = strtoull((const char *)buf_head(&b), NULL, 10);
        m->since_ms = m->since_ms ? m->since_ms : 1; /* an unreadable mark is still a mark */
    }
    buf_fini(&b);
    return m;
}

void hint_mark_close(struct hint_mark *m)
{
    if (!m)
        return;
    mem_free(m->unkept);
    mem_free(m->path);
    mem_free(m);
}

void hint_mark_move(struct hint_mark *m, const char *dir)
{
    mem_free(m->path);
    m->path = mem_printf("%s/needs-repair", dir);
}

uint64_t hint_mark_since(const struct hint_mark *m)
{
    return m->since_ms;
}

bool hint_mark_set(struct hint_mark *m, uint64_t now_ms, const char *reason, struct error *e)
{
    if (!m->since_ms) {
        m->since_ms = now_ms;
        m->unkept = mem_printf("%" PRIu64 " %s\n", now_ms, reason);
    }
    return hint_mark_keep(m, e);
}

bool hint_mark_keep(struct hint_mark *m, struct error *e)
{
    struct error ignored;
    if (!m->unkept)
        return true;
    /* an empty one is a mark too, and finds its place on a disk that is full */
    if (!file_replace(m->path, slice_str(m->unkept), e)) {
        (void)!file_replace(m->path, slice_of("", 0), &ignored);
        return false;
    }
    mem_free(m->unkept);
    m->unkept = NULL;
    return true;
}
