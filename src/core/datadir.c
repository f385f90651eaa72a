#include "core/datadir.h"
#include "core/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool sync_directory_of(const char *path)
{
    char *copy = mem_strdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mem_free(copy);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    close(fd);
    return ok;
}

bool dir_make(const char *path, struct error *e)
{
    char *copy = mem_strdup(path);
    bool ok = true;
    for (char *p = copy + 1; ok; p++) {
        bool end = *p == 0;
        if (*p != '/' && !end)
            continue;
        *p = 0;
        bool made = mkdir(copy, 0755) == 0;
        if (made ? !sync_directory_of(copy) : errno != EEXIST)
            ok = error_set(e, "%s: %s", copy, strerror(errno));
        if (end)
            break;
        *p = '/';
    }
    struct stat st;
    if (ok && (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
        ok = error_set(e, "%s: not a directory", path);
    mem_free(copy);
    return ok;
}

static bool take_lock(int fd, const char *path, struct error *e)
{
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        char pid[32] = "";
        ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? (size_t)n : 0] = 0;
        pid[strcspn(pid, "\n")] = 0;
        return error_set(e, "%s: in use by another process%s%s", path, *pid ? ", pid " : "", pid);
    }
    char text[32];
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
        return error_set(e, "%s/lock: %s", path, strerror(errno));
    return true;
}

bool datadir_lock(const char *path, int *lock_fd, struct error *e)
{
    if (!dir_make(path, e))
        return false;
    char *name = mem_printf("%s/lock", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    mem_free(name);
    if (fd < 0)
        return error_set(e, "%s: %s", path, strerror(errno));
    if (!take_lock(fd, path, e)) {
        close(fd);
        return false;
    }
    *lock_fd = fd;
    return true;
}

static bool write_all(int fd, struct slice s)
{
    while (s.len) {
        ssize_t n = write(fd, s.ptr, s.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        s.ptr += n;
        s.len -= (size_t)n;
    }
    return true;
}

bool file_replace(const char *path, struct slice content, struct error *e)
{
    char *temp = mem_printf("%s.new", path);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write_all(fd, content) && fsync(fd) == 0;
    if (fd >= 0 && close(fd) < 0)
        ok = false;
    ok = ok && rename(temp, path) == 0 && sync_directory_of(path);
    if (!ok) {
        error_set(e, "%s: %s", path, strerror(errno));
        unlink(temp);
    }
    mem_free(temp);
    return ok;
}

bool file_remove(const char *path, struct error *e)
{
    if (unlink(path) < 0)
        return errno == ENOENT || error_set(e, "%s: %s", path, strerror(errno));
    return sync_directory_of(path) || error_set(e, "%s: %s", path, strerror(errno));
}

bool file_read(const char *path, size_t max, struct buf *out, bool *missing, struct error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (missing)
        *missing = fd < 0 && errno == ENOENT;
    if (fd < 0)
        return missing && *missing ? true : error_set(e, "%s: %s", path, strerror(errno));
    bool ok = true;
    for (;;) {
        ssize_t n = read(fd, buf_reserve(out, 4096), 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            ok = error_set(e, "%s: %s", path, strerror(errno));
        if (n <= 0)
            break;
        buf_commit(out, (size_t)n);
        if (out->len > max) {
            ok = error_set(e, "%s: more than %zu bytes; allowed at most that", path, max);
            break;
        }
    }
    close(fd);
    return ok;
}
