/* A disk that fails, for LD_PRELOAD: tests/cluster/test_io_errors.py.
 *
 * $SHIM_CONTROL names a file with one line, `CALL PART SKIP TIMES`: of the calls of CALL
 * (fallocate, fdatasync, fsync, rename, pwrite) on paths that contain PART, SKIP ones pass, then
 * TIMES ones fail with EIO, and the rest pass. When the file is replaced, counting begins anew;
 * while there is none, everything passes. What fails is appended to $SHIM_CONTROL.failed, a line
 * each.
 *
 * Hints are written through mappings, which can't fail with an error code: what can is making the
 * space for them, bringing them to the disk, using a segment's file again, and the acknowledged
 * number of a sealed segment. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ino_t control; /* the file that the orders are from */
static struct {
    char call[16], part[64];
    unsigned skip, times;
} orders;

static void read_orders(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        control = 0;
        orders.times = 0;
        return;
    }
    if (st.st_ino == control)
        return;
    control = st.st_ino;
    FILE *f = fopen(path, "re");
    if (!f ||
        fscanf(f, "%15s %63s %u %u", orders.call, orders.part, &orders.skip, &orders.times) != 4)
        orders.times = 0;
    if (f)
        fclose(f);
}

static void tell(const char *control_path, const char *call, const char *path)
{
    char name[4096], line[4200];
    snprintf(name, sizeof name, "%s.failed", control_path);
    int n = snprintf(line, sizeof line, "%s %s\n", call, path);
    int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        abort();
    close(fd);
}

/* Does this call fail? */
static bool fails(const char *call, const char *path)
{
    const char *control_path = getenv("SHIM_CONTROL");
    if (!control_path)
        return false;
    pthread_mutex_lock(&lock);
    read_orders(control_path);
    bool hit = orders.times && strcmp(call, orders.call) == 0 && strstr(path, orders.part);
    if (hit && orders.skip) {
        orders.skip--;
        hit = false;
    } else if (hit) {
        orders.times--;
        tell(control_path, call, path);
    }
    pthread_mutex_unlock(&lock);
    return hit;
}

static bool fails_on(const char *call, int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    return fails(call, path);
}

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

/* $SHIM_HOLD names a file: while it is there, space isn't made for anything. */
static void hold(void)
{
    const char *path = getenv("SHIM_HOLD");
    while (path && access(path, F_OK) == 0)
        usleep(1000);
}

int posix_fallocate(int fd, off_t from, off_t size)
{
    hold();
    return fails_on("fallocate", fd)
               ? EIO
               : REAL(int, "posix_fallocate", int, off_t, off_t)(fd, from, size);
}

int posix_fallocate64(int fd, off64_t from, off64_t size)
{
    hold();
    return fails_on("fallocate", fd)
               ? EIO
               : REAL(int, "posix_fallocate64", int, off64_t, off64_t)(fd, from, size);
}

static int failed(void)
{
    errno = EIO;
    return -1;
}

int fdatasync(int fd)
{
    return fails_on("fdatasync", fd) ? failed() : REAL(int, "fdatasync", int)(fd);
}

int fsync(int fd)
{
    return fails_on("fsync", fd) ? failed() : REAL(int, "fsync", int)(fd);
}

int rename(const char *from, const char *to)
{
    return fails("rename", to) ? failed()
                               : REAL(int, "rename", const char *, const char *)(from, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails_on("rename", to_dir) ? failed()
                                      : REAL(int, "renameat", int, const char *, int,
                                             const char *)(from_dir, from, to_dir, to);
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at)
{
    return fails_on("pwrite", fd)
               ? failed()
               : REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)(fd, from, n, at);
}

ssize_t pwrite64(int fd, const void *from, size_t n, off64_t at)
{
    return fails_on("pwrite", fd)
               ? failed()
               : REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)(fd, from, n, at);
}
