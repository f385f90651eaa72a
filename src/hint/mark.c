#include "hint/mark.h"
#include "core/datadir.h"
#include "core/log.h"
#include "core/mem.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARK_FILE 4096

struct hint_mark {
    char *path;
    uint64_t since_ms;
    char *reason;
    char *unkept; /* the line that the disk doesn't have yet */
    char *window;
    bool closed, window_unkept;
};

/* "since reason", however little of it there is. */
static void read_line(struct hint_mark *m, char *line)
{
    char *reason;
    m->since_ms = strtoull(line, &reason, 10);
    m->since_ms = m->since_ms ? m->since_ms : 1; /* an unreadable mark is still a mark */
    reason += *reason == ' ';
    reason[strcspn(reason, "\n")] = 0;
    m->reason = mem_strdup(reason);
}

struct hint_mark *hint_mark_open(const char *dir)
{
    struct hint_mark *m = MEM_NEW(struct hint_mark);
    struct buf b = BUF_INIT;
    struct error e;
    bool missing = false;
    m->path = mem_printf("%s/needs-repair", dir);
    m->window = mem_printf("%s/window-closed", dir);
    if (!file_read(m->path, MARK_FILE, &b, &missing, &e))
        log_error("%s", e.text);
    buf_add(&b, "", 1);
    if (!missing)
        read_line(m, (char *)buf_head(&b));
    buf_reset(&b, 0);
    if (!file_read(m->window, MARK_FILE, &b, &missing, &e))
        log_error("%s", e.text);
    m->closed = !missing;
    buf_fini(&b);
    return m;
}

void hint_mark_close(struct hint_mark *m)
{
    if (!m)
        return;
    mem_free(m->unkept);
    mem_free(m->reason);
    mem_free(m->window);
    mem_free(m->path);
    mem_free(m);
}

void hint_mark_move(struct hint_mark *m, const char *dir)
{
    mem_free(m->path);
    mem_free(m->window);
    m->path = mem_printf("%s/needs-repair", dir);
    m->window = mem_printf("%s/window-closed", dir);
}

void hint_mark_remove(const char *dir)
{
    static const char *const files[] = {"needs-repair", "window-closed"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char *path = mem_printf("%s/%s", dir, files[i]);
        (void)unlink(path);
        mem_free(path);
    }
    (void)rmdir(dir);
}

uint64_t hint_mark_since(const struct hint_mark *m)
{
    return m->since_ms;
}

const char *hint_mark_reason(const struct hint_mark *m)
{
    return m->reason ? m->reason : "";
}

bool hint_mark_is_closed(const struct hint_mark *m)
{
    return m->closed;
}

bool hint_mark_set(struct hint_mark *m, uint64_t now_ms, const char *reason, struct error *e)
{
    if (!m->since_ms) {
        m->since_ms = now_ms;
        m->reason = mem_strdup(reason);
        m->unkept = mem_printf("%" PRIu64 " %s\n", now_ms, reason);
    }
    return hint_mark_keep(m, e);
}

bool hint_mark_clear(struct hint_mark *m, struct error *e)
{
    if (!file_remove(m->path, e))
        return false;
    mem_free(m->unkept);
    mem_free(m->reason);
    m->unkept = m->reason = NULL;
    m->since_ms = 0;
    return true;
}

bool hint_mark_close_window(struct hint_mark *m, bool closed, struct error *e)
{
    m->closed = closed;
    m->window_unkept = true;
    return hint_mark_keep(m, e);
}

static bool keep_window(struct hint_mark *m, struct error *e)
{
    if (!m->window_unkept)
        return true;
    m->window_unkept =
        m->closed ? !file_replace(m->window, slice_of("", 0), e) : !file_remove(m->window, e);
    return !m->window_unkept;
}

bool hint_mark_keep(struct hint_mark *m, struct error *e)
{
    struct error ignored;
    bool window = keep_window(m, e);
    if (!m->unkept)
        return window;
    /* an empty one is a mark too, and finds its place on a disk that is full */
    if (!file_replace(m->path, slice_str(m->unkept), e)) {
        (void)!file_replace(m->path, slice_of("", 0), &ignored);
        return false;
    }
    mem_free(m->unkept);
    m->unkept = NULL;
    return window;
}
