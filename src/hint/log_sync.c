/* A log onto the disk: fdatasync of the segments with unsynced bytes, fsync of the directory where
 * a file was made or renamed. */
#include "hint/log_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void close_all(struct hint_sync *job)
{
    for (unsigned i = 0; i < job->n && !job->borrowed; i++)
        if (job->segment[i].fd >= 0)
            close(job->segment[i].fd);
    job->n = 0;
}

static void add_segment(struct hint_sync *job, const struct segment *s, uint64_t end)
{
    if (s->fd < 0) {
        job->unstored |= LOAD(s->last) > job->known;
        return;
    }
    if (job->n == ARRAY_LEN(job->segment)) {
        job->more = true;
        return;
    }
    job->segment[job->n].fd = job->borrowed ? s->fd : fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
    job->segment[job->n].first = s->first;
    job->segment[job->n].end = end;
    job->n++;
}

static void begin(struct hint_log *l, struct hint_sync *job, uint64_t known, bool borrowed)
{
    *job = (struct hint_sync){.upto = LOAD(l->appended.seq), .known = known, .borrowed = borrowed};
    if (l->dir < 0)
        return;
    for (struct segment *s = LOAD(l->head); s; s = LOAD(s->next)) {
        uint64_t end = LOAD(s->end);
        if (LOAD(s->last) > l->acked.seq && s->synced < end)
            add_segment(job, s, end);
    }
}

void hint_log_sync_begin(struct hint_log *l, struct hint_sync *job)
{
    begin(l, job, 0, false);
}

bool hint_log_sync_run(struct hint_log *l, struct hint_sync *job, struct error *e)
{
    if (job->unstored)
        return error_set(e, "%s: no space: records for the peer are in memory only", l->o.dir);
    for (unsigned i = 0; i < job->n; i++)
        if (job->segment[i].fd < 0 || fdatasync(job->segment[i].fd) < 0)
            return error_set(e, "%s: fdatasync: %s", l->o.dir, strerror(errno));
    if (l->dir < 0 || !__atomic_exchange_n(&l->dir_dirty, 0, __ATOMIC_ACQ_REL) ||
        fsync(l->dir) == 0)
        return true;
    __atomic_store_n(&l->dir_dirty, 1, __ATOMIC_RELEASE);
    return error_set(e, "%s: fsync: %s", l->o.dir, strerror(errno));
}

/* What is on disk and sealed is read with pread from now on. */
static void mark_synced(struct hint_log *l, struct segment *s, const struct hint_sync *job)
{
    for (unsigned i = 0; i < job->n; i++)
        if (job->segment[i].first == s->first && s->synced < job->segment[i].end)
            s->synced = job->segment[i].end;
    if (LOAD(s->next) && s->synced >= LOAD(s->end) && s != l->read.seg && s != l->ack.seg)
        segment_unmap(s);
}

void hint_log_sync_end(struct hint_log *l, struct hint_sync *job, bool synced)
{
    for (struct segment *s = LOAD(l->head); s && synced && l->dir >= 0; s = LOAD(s->next))
        mark_synced(l, s, job);
    close_all(job);
}

bool hint_log_sync_behind(struct hint_log *l, uint64_t known, uint64_t *synced, struct error *e)
{
    struct hint_sync job;
    bool ok;
    do {
        begin(l, &job, known, true);
        ok = hint_log_sync_run(l, &job, e);
        hint_log_sync_end(l, &job, ok);
    } while (ok && job.more);
    if (ok)
        *synced = job.upto;
    return ok;
}

bool hint_log_sync(struct hint_log *l, uint64_t *synced, struct error *e)
{
    return hint_log_sync_behind(l, 0, synced, e);
}
