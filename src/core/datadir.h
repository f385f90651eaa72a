/* core/datadir: a directory that one process has for itself, and small files in it that are either
 * old or new, never half. Main thread, except file_replace, file_remove
 * and file_read: any. */
#ifndef CORE_DATADIR_H
#define CORE_DATADIR_H

#include "core/buf.h"
#include "core/error.h"

/* Makes the directory (and its parents) if missing and locks it. `*lock_fd` keeps the lock until it
 * is closed. A lock held by another process is an error that names it. */
bool datadir_lock(const char *path, int *lock_fd, struct error *e) MUST_USE;
/* With parents, each on disk before this returns; existing is fine. */
bool dir_make(const char *path, struct error *e) MUST_USE;

/* Writes to a temporary name, fsyncs, renames over `path`, fsyncs the directory. */
bool file_replace(const char *path, struct slice content, struct error *e) MUST_USE;
/* Gone, and the directory fsync'ed; a file that isn't there is fine. */
bool file_remove(const char *path, struct error *e) MUST_USE;
/* The whole file, up to `max` bytes, appended to `out`. *missing (may be NULL): there is none,
 * returns true. */
bool file_read(const char *path, size_t max, struct buf *out, bool *missing,
               struct error *e) MUST_USE;

#endif
