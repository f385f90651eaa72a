/* Files of simulated nodes, in memory: what the system's calls do below /sim/<node>, and what a
 * power cut leaves of it. The calls of libdynomited come here by the linker's --wrap; what isn't
 * ours goes on to the system.
 *
 *     inode   file: bytes, and the bytes that are on disk     directory: names, and the names on
 * disk
 *
 * fsync of a file brings its bytes to disk, of a directory its names. A mapping is the file's bytes
 * themselves. */
#include "data_os.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096u

struct inode;
struct name {
    char text[64];
    struct inode *to;
};
struct names {
    struct name *at;
    size_t n, cap;
};
struct inode {
    bool dir;
    unsigned refs; /* names, descriptors, mappings */
    uint8_t *bytes, *kept;
    size_t size, kept_size;
    struct names now, on_disk;
};

struct open_file {
    struct inode *inode; /* NULL: free */
    unsigned node;
    size_t at;
};
struct mapping {
    struct inode *inode;
    unsigned node;
};
struct listing { /* an open DIR */
    struct inode *inode;
    size_t at;
    int fd;
    struct dirent entry;
};

static struct {
    struct inode *root[OS_NODES_MAX];
    size_t room[OS_NODES_MAX];
    struct open_file *files;
    size_t nfiles;
    struct mapping *maps;
    size_t nmaps;
} disk;

/* ---- inodes ------------------------------------------------------------------------------------
 */

static void *checked(void *p)
{
    if (!p)
        abort();
    return p;
}

static struct inode *inode_new(bool dir)
{
    struct inode *i = checked(calloc(1, sizeof *i));
    i->dir = dir;
    return i;
}

static void clear(struct names *names);

static void unref(struct inode *i)
{
    if (--i->refs)
        return;
    clear(&i->now);
    clear(&i->on_disk);
    free(i->bytes);
    free(i->kept);
    free(i);
}

static void clear(struct names *names)
{
    for (size_t k = 0; k < names->n; k++)
        unref(names->at[k].to);
    free(names->at);
    *names = (struct names){0};
}

static void add_name(struct names *names, const char *text, struct inode *to)
{
    if (names->n == names->cap) {
        names->cap = names->cap ? 2 * names->cap : 8;
        names->at = checked(realloc(names->at, names->cap * sizeof *names->at));
    }
    struct name *name = &names->at[names->n++];
    snprintf(name->text, sizeof name->text, "%s", text);
    name->to = to;
    to->refs++;
}

static void copy_names(struct names *to, const struct names *from)
{
    struct names fresh = {0};
    for (size_t k = 0; k < from->n; k++)
        add_name(&fresh, from->at[k].text, from->at[k].to);
    clear(to);
    *to = fresh;
}

static struct name *find(const struct inode *dir, const char *text)
{
    for (size_t k = 0; k < dir->now.n; k++)
        if (strcmp(dir->now.at[k].text, text) == 0)
            return &dir->now.at[k];
    return NULL;
}

/* In the order of their names' making, as the rest stands. */
static void remove_name(struct inode *dir, struct name *name)
{
    struct inode *gone = name->to;
    size_t k = (size_t)(name - dir->now.at);
    memmove(name, name + 1, (--dir->now.n - k) * sizeof *name);
    unref(gone);
}

/* ---- paths -------------------------------------------------------------------------------------
 */

static bool is_ours(const char *path)
{
    return strncmp(path, "/sim/", 5) == 0;
}

/* The directory that holds the last part of `path`, which goes to `last`; NULL: there is none. */
static struct inode *walk(struct inode *at, const char *path, char last[64])
{
    while (at && *path) {
        size_t n = strcspn(path, "/");
        snprintf(last, 64, "%.*s", (int)n, path);
        path += n + (path[n] == '/');
        if (!*path)
            return at;
        struct name *next = at->dir ? find(at, last) : NULL;
        at = next ? next->to : NULL;
    }
    return NULL;
}

static unsigned node_in(const char *path)
{
    unsigned node = (unsigned)strtoul(path + 5, NULL, 10);
    return node < OS_NODES_MAX ? node : 0;
}

/* The directory of a path of ours and the name in it. The node's root is a name of itself. */
static struct inode *parent_of(const char *path, char last[64])
{
    unsigned node = node_in(path);
    const char *rest = strchr(path + 5, '/');
    if (!disk.root[node]) {
        disk.root[node] = inode_new(true);
        disk.root[node]->refs = 1;
    }
    if (!rest || !rest[1])
        return NULL;
    return walk(disk.root[node], rest + 1, last);
}

static struct inode *look_up(const char *path)
{
    char last[64];
    struct inode *dir = parent_of(path, last);
    const char *rest = strchr(path + 5, '/');
    if (!dir)
        return rest && rest[1] ? NULL : disk.root[node_in(path)];
    struct name *name = find(dir, last);
    return name ? name->to : NULL;
}

/* ---- descriptors -------------------------------------------------------------------------------
 */

static int take_fd(struct inode *i)
{
    size_t k = 0;
    while (k < disk.nfiles && disk.files[k].inode)
        k++;
    if (k == disk.nfiles) {
        disk.nfiles = disk.nfiles ? 2 * disk.nfiles : 64;
        disk.files = checked(realloc(disk.files, disk.nfiles * sizeof *disk.files));
        memset(disk.files + k, 0, (disk.nfiles - k) * sizeof *disk.files);
    }
    disk.files[k] = (struct open_file){.inode = i, .node = os_current()};
    i->refs++;
    return OS_FILE_BASE + (int)k;
}

static bool is_file(int fd)
{
    return fd >= OS_FILE_BASE && fd < OS_STREAM_BASE;
}

static struct open_file *file_of(int fd)
{
    return &disk.files[fd - OS_FILE_BASE];
}

static int fail(int err)
{
    errno = err;
    return -1;
}

/* Grows a file, as far as the disk has room. */
static bool grow(struct inode *i, unsigned node, size_t size)
{
    if (size <= i->size)
        return true;
    if (size - i->size > disk.room[node])
        return false;
    disk.room[node] -= size - i->size;
    uint8_t *fresh = checked(calloc(1, size));
    if (i->size)
        memcpy(fresh, i->bytes, i->size);
    free(i->bytes);
    i->bytes = fresh;
    i->size = size;
    return true;
}

static void truncate_file(struct inode *i)
{
    free(i->bytes);
    i->bytes = NULL;
    i->size = 0;
}

static void sync_inode(struct inode *i)
{
    if (i->dir) {
        copy_names(&i->on_disk, &i->now);
        return;
    }
    if (i->kept_size != i->size) {
        free(i->kept);
        i->kept = checked(malloc(i->size ? i->size : 1));
        i->kept_size = i->size;
    }
    if (i->size)
        memcpy(i->kept, i->bytes, i->size);
}

/* ---- the system's calls ------------------------------------------------------------------------
 */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_openat(int dir, const char *name, int flags, ...);
int __wrap_openat(int dir, const char *name, int flags, ...);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);
int __real_rmdir(const char *path);
int __wrap_rmdir(const char *path);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_renameat(int fd, const char *from, int fd2, const char *to);
int __wrap_renameat(int fd, const char *from, int fd2, const char *to);
int __real_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st);
int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
struct dirent *__wrap_readdir(DIR *d);
int __wrap_closedir(DIR *d);
int __wrap_dirfd(DIR *d);
void *__real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t off);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t off);
int __real_munmap(void *at, size_t size);
int __wrap_munmap(void *at, size_t size);
ssize_t __real_pread(int fd, void *to, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *to, size_t n, off_t at);
ssize_t __real_pwrite(int fd, const void *from, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *from, size_t n, off_t at);
ssize_t __real_read(int fd, void *to, size_t n);
ssize_t __wrap_read(int fd, void *to, size_t n);
ssize_t __real_write(int fd, const void *from, size_t n);
ssize_t __wrap_write(int fd, const void *from, size_t n);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_posix_fallocate(int fd, off_t at, off_t n);
int __wrap_posix_fallocate(int fd, off_t at, off_t n);
int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);
int __real_fcntl(int fd, int cmd, ...);
int __wrap_fcntl(int fd, int cmd, ...);
int __real_flock(int fd, int op);
int __wrap_flock(int fd, int op);

static int open_in(struct inode *dir, const char *last, int flags)
{
    if (!dir)
        return fail(ENOENT);
    struct name *name = find(dir, last);
    if (name && (flags & O_EXCL))
        return fail(EEXIST);
    if (!name && !(flags & O_CREAT))
        return fail(ENOENT);
    if (!name) {
        add_name(&dir->now, last, inode_new(false));
        name = find(dir, last);
    }
    if ((flags & O_DIRECTORY) && !name->to->dir)
        return fail(ENOTDIR);
    if (flags & O_TRUNC)
        truncate_file(name->to);
    return take_fd(name->to);
}

static int mode_of(int flags, va_list ap)
{
    return flags & O_CREAT ? va_arg(ap, int) : 0;
}

int __wrap_open(const char *path, int flags, ...)
{
    char last[64];
    va_list ap;
    va_start(ap, flags);
    int mode = mode_of(flags, ap);
    va_end(ap);
    if (!is_ours(path))
        return __real_open(path, flags, mode);
    struct inode *dir = parent_of(path, last);
    if (!dir && look_up(path))
        return take_fd(look_up(path));
    return open_in(dir, last, flags);
}

int __wrap_openat(int dir, const char *name, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    int mode = mode_of(flags, ap);
    va_end(ap);
    return is_file(dir) ? open_in(file_of(dir)->inode, name, flags)
                        : __real_openat(dir, name, flags, mode);
}

int __wrap_close(int fd)
{
    if (fd >= OS_STREAM_BASE) {
        os_close_stream(fd);
        return 0;
    }
    if (!is_file(fd))
        return __real_close(fd);
    unref(file_of(fd)->inode);
    *file_of(fd) = (struct open_file){0};
    return 0;
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    char last[64];
    if (strcmp(path, "/sim") == 0)
        return fail(EEXIST);
    if (!is_ours(path))
        return __real_mkdir(path, mode);
    struct inode *dir = parent_of(path, last);
    if (!dir)
        return fail(look_up(path) ? EEXIST : ENOENT);
    if (find(dir, last))
        return fail(EEXIST);
    add_name(&dir->now, last, inode_new(true));
    return 0;
}

static int remove_from(struct inode *dir, const char *last, bool want_dir)
{
    struct name *name = dir ? find(dir, last) : NULL;
    if (!name)
        return fail(ENOENT);
    if (name->to->dir != want_dir)
        return fail(want_dir ? ENOTDIR : EISDIR);
    if (want_dir && name->to->now.n)
        return fail(ENOTEMPTY);
    disk.room[os_current()] += name->to->size;
    remove_name(dir, name);
    return 0;
}

int __wrap_rmdir(const char *path)
{
    char last[64];
    return is_ours(path) ? remove_from(parent_of(path, last), last, true) : __real_rmdir(path);
}

int __wrap_unlink(const char *path)
{
    char last[64];
    return is_ours(path) ? remove_from(parent_of(path, last), last, false) : __real_unlink(path);
}

int __wrap_unlinkat(int dir, const char *name, int flags)
{
    return is_file(dir) ? remove_from(file_of(dir)->inode, name, false)
                        : __real_unlinkat(dir, name, flags);
}

static int move(struct inode *from_dir, const char *from, struct inode *to_dir, const char *to)
{
    struct name *name = from_dir ? find(from_dir, from) : NULL;
    if (!name || !to_dir)
        return fail(ENOENT);
    struct inode *moved = name->to;
    struct name *there = find(to_dir, to);
    if (there && there->to->dir && there->to->now.n)
        return fail(ENOTEMPTY);
    moved->refs++;
    if (there)
        remove_name(to_dir, there);
    remove_name(from_dir, find(from_dir, from));
    add_name(&to_dir->now, to, moved);
    moved->refs--;
    return 0;
}

int __wrap_rename(const char *from, const char *to)
{
    char a[64], b[64];
    if (!is_ours(from))
        return __real_rename(from, to);
    struct inode *from_dir = parent_of(from, a), *to_dir = parent_of(to, b);
    return move(from_dir, a, to_dir, b);
}

int __wrap_renameat(int fd, const char *from, int fd2, const char *to)
{
    return is_file(fd) ? move(file_of(fd)->inode, from, file_of(fd2)->inode, to)
                       : __real_renameat(fd, from, fd2, to);
}

static int fill_stat(const struct inode *i, struct stat *st)
{
    if (!i)
        return fail(ENOENT);
    memset(st, 0, sizeof *st);
    st->st_mode = i->dir ? S_IFDIR | 0755 : S_IFREG | 0600;
    st->st_size = (off_t)i->size;
    return 0;
}

int __wrap_stat(const char *path, struct stat *st)
{
    return is_ours(path) ? fill_stat(look_up(path), st) : __real_stat(path, st);
}

int __wrap_fstat(int fd, struct stat *st)
{
    return is_file(fd) ? fill_stat(file_of(fd)->inode, st) : __real_fstat(fd, st);
}

int __wrap_access(const char *path, int mode)
{
    if (!is_ours(path))
        return __real_access(path, mode);
    return look_up(path) ? 0 : fail(ENOENT);
}

/* Nobody of ours lists a directory of the system's in here. */
DIR *__wrap_opendir(const char *path)
{
    struct inode *i = is_ours(path) ? look_up(path) : NULL;
    if (!i || !i->dir) {
        errno = ENOENT;
        return NULL;
    }
    struct listing *l = checked(calloc(1, sizeof *l));
    *l = (struct listing){.inode = i, .fd = take_fd(i)};
    return (DIR *)(void *)l;
}

struct dirent *__wrap_readdir(DIR *d)
{
    struct listing *l = (struct listing *)(void *)d;
    if (l->at >= l->inode->now.n)
        return NULL;
    const struct name *name = &l->inode->now.at[l->at++];
    snprintf(l->entry.d_name, sizeof l->entry.d_name, "%s", name->text);
    l->entry.d_type = name->to->dir ? DT_DIR : DT_REG;
    return &l->entry;
}

int __wrap_closedir(DIR *d)
{
    struct listing *l = (struct listing *)(void *)d;
    (void)__wrap_close(l->fd);
    free(l);
    return 0;
}

int __wrap_dirfd(DIR *d)
{
    return ((struct listing *)(void *)d)->fd;
}

void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t off)
{
    if (!is_file(fd))
        return __real_mmap(at, size, prot, flags, fd, off);
    struct inode *i = file_of(fd)->inode;
    disk.maps = checked(realloc(disk.maps, (disk.nmaps + 1) * sizeof *disk.maps));
    disk.maps[disk.nmaps++] = (struct mapping){.inode = i, .node = os_current()};
    i->refs++;
    return i->bytes;
}

static void drop_mapping(size_t k)
{
    unref(disk.maps[k].inode);
    disk.maps[k] = disk.maps[--disk.nmaps];
}

int __wrap_munmap(void *at, size_t size)
{
    for (size_t k = 0; k < disk.nmaps; k++) {
        if (disk.maps[k].inode->bytes != at)
            continue;
        drop_mapping(k);
        return 0;
    }
    return __real_munmap(at, size);
}

ssize_t __wrap_pread(int fd, void *to, size_t n, off_t at)
{
    if (!is_file(fd))
        return __real_pread(fd, to, n, at);
    const struct inode *i = file_of(fd)->inode;
    if ((size_t)at >= i->size)
        return 0;
    n = n < i->size - (size_t)at ? n : i->size - (size_t)at;
    memcpy(to, i->bytes + at, n);
    return (ssize_t)n;
}

ssize_t __wrap_pwrite(int fd, const void *from, size_t n, off_t at)
{
    if (!is_file(fd))
        return __real_pwrite(fd, from, n, at);
    struct open_file *f = file_of(fd);
    if (!grow(f->inode, f->node, (size_t)at + n))
        return fail(ENOSPC);
    if (n)
        memcpy(f->inode->bytes + at, from, n);
    return (ssize_t)n;
}

ssize_t __wrap_read(int fd, void *to, size_t n)
{
    if (!is_file(fd))
        return __real_read(fd, to, n);
    ssize_t got = __wrap_pread(fd, to, n, (off_t)file_of(fd)->at);
    file_of(fd)->at += (size_t)got;
    return got;
}

ssize_t __wrap_write(int fd, const void *from, size_t n)
{
    if (!is_file(fd))
        return __real_write(fd, from, n);
    ssize_t put = __wrap_pwrite(fd, from, n, (off_t)file_of(fd)->at);
    file_of(fd)->at += put > 0 ? (size_t)put : 0;
    return put;
}

int __wrap_fsync(int fd)
{
    if (!is_file(fd))
        return __real_fsync(fd);
    sync_inode(file_of(fd)->inode);
    return 0;
}

int __wrap_fdatasync(int fd)
{
    return is_file(fd) ? __wrap_fsync(fd) : __real_fdatasync(fd);
}

int __wrap_posix_fallocate(int fd, off_t at, off_t n)
{
    if (!is_file(fd))
        return __real_posix_fallocate(fd, at, n);
    return grow(file_of(fd)->inode, file_of(fd)->node, (size_t)(at + n)) ? 0 : ENOSPC;
}

int __wrap_ftruncate(int fd, off_t size)
{
    if (!is_file(fd))
        return __real_ftruncate(fd, size);
    truncate_file(file_of(fd)->inode); /* only ever to nothing */
    return 0;
}

int __wrap_fcntl(int fd, int cmd, ...)
{
    va_list ap;
    va_start(ap, cmd);
    long arg = va_arg(ap, long);
    va_end(ap);
    if (!is_file(fd))
        return __real_fcntl(fd, cmd, arg);
    return cmd == F_DUPFD_CLOEXEC ? take_fd(file_of(fd)->inode) : 0;
}

/* Of one node one process runs. */
int __wrap_flock(int fd, int op)
{
    return is_file(fd) ? 0 : __real_flock(fd, op);
}

/* ---- kills, power cuts -------------------------------------------------------------------------
 */

void disk_close_all(unsigned node)
{
    for (size_t k = 0; k < disk.nfiles; k++) {
        if (!disk.files[k].inode || disk.files[k].node != node)
            continue;
        unref(disk.files[k].inode);
        disk.files[k] = (struct open_file){0};
    }
    for (size_t k = disk.nmaps; k-- > 0;)
        if (disk.maps[k].node == node)
            drop_mapping(k);
}

/* Of what wasn't synced each page may have been written, or all, or nothing. */
static void lose_bytes(struct inode *i)
{
    unsigned how = (unsigned)chance_below(os_chance(), 3);
    size_t size = how == 0 ? i->kept_size : i->size;
    uint8_t *left = checked(calloc(1, size ? size : 1));
    for (size_t at = 0; at < size; at += PAGE) {
        size_t n = size - at < PAGE ? size - at : PAGE;
        bool old = how == 0 || (how == 2 && chance_below(os_chance(), 2));
        if (!old)
            memcpy(left + at, i->bytes + at, n);
        else if (at < i->kept_size)
            memcpy(left + at, i->kept + at, n < i->kept_size - at ? n : i->kept_size - at);
    }
    free(i->bytes);
    i->bytes = left;
    i->size = size;
}

static void lose_dir(struct inode *i)
{
    if (chance_below(os_chance(), 2))
        copy_names(&i->now, &i->on_disk);
    for (size_t k = 0; k < i->now.n; k++) {
        struct inode *to = i->now.at[k].to;
        if (to->dir)
            lose_dir(to);
        else
            lose_bytes(to);
        sync_inode(to);
    }
    sync_inode(i);
}

void disk_lose_power(unsigned node)
{
    if (disk.root[node])
        lose_dir(disk.root[node]);
}

void disk_wipe(unsigned node)
{
    if (disk.root[node])
        unref(disk.root[node]);
    disk.root[node] = NULL;
    disk.room[node] = SIZE_MAX / 2;
}

static void each_below(struct inode *dir, const char *suffix, void (*fn)(uint8_t *, size_t))
{
    for (size_t k = 0; k < dir->now.n; k++) {
        struct inode *to = dir->now.at[k].to;
        size_t n = strlen(dir->now.at[k].text), m = strlen(suffix);
        if (to->dir)
            each_below(to, suffix, fn);
        else if (n >= m && strcmp(dir->now.at[k].text + n - m, suffix) == 0)
            fn(to->bytes, to->size);
    }
}

void disk_each(unsigned node, const char *suffix, void (*fn)(uint8_t *bytes, size_t size))
{
    if (disk.root[node])
        each_below(disk.root[node], suffix, fn);
}

void disk_set_room(unsigned node, size_t bytes)
{
    disk.room[node] = bytes;
}

void disk_begin(void)
{
    memset(&disk, 0, sizeof disk);
    for (unsigned i = 0; i < OS_NODES_MAX; i++)
        disk.room[i] = SIZE_MAX / 2;
}

void disk_end(void)
{
    for (unsigned i = 0; i < OS_NODES_MAX; i++)
        disk_wipe(i);
    free(disk.files);
    free(disk.maps);
}
