/* Directories that one process has, and files that are old or new, never half. */
#include "core/datadir.h"
#include "unit.h"
#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[] = "/tmp/test_datadir.XXXXXX";

static const char *path(const char *name)
{
    static char text[4][400];
    static int turn;
    char *to = text[turn++ % 4];
    snprintf(to, sizeof text[0], "%s/%s", root, name);
    return to;
}

static void make_root(void)
{
    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void remove_root(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(directories_with_parents)
{
    struct error e;
    struct stat st;
    ck_assert(dir_make(path("a/b//c"), &e));
    ck_assert(dir_make(path("a/b/c/"), &e)); /* existing is fine */
    ck_assert_int_eq(stat(path("a/b/c"), &st), 0);
    ck_assert(S_ISDIR(st.st_mode));
    ck_assert(file_replace(path("file"), slice_str("x"), &e));
    ck_assert(!dir_make(path("file"), &e));
    ck_assert_ptr_nonnull(strstr(e.text, "file: not a directory"));
    ck_assert(!dir_make(path("file/below"), &e));
    ck_assert_ptr_nonnull(strstr(e.text, root));
}
END_TEST

START_TEST(one_process_at_a_time)
{
    struct error e;
    int fd = -1, second = -1, status;
    char mine[40];
    ck_assert(datadir_lock(path("new/data"), &fd, &e));
    snprintf(mine, sizeof mine, "in use by another process, pid %d", (int)getpid());
    ck_assert(
        !datadir_lock(path("new/data"), &second, &e)); /* flock: another descriptor is enough */
    ck_assert_ptr_nonnull(strstr(e.text, mine));
    ck_assert_int_eq(second, -1);
    pid_t child = fork();
    if (child == 0)
        _exit(datadir_lock(path("new/data"), &second, &e) ? 1 : 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    close(fd);
    ck_assert(datadir_lock(path("new/data"), &fd, &e));
    close(fd);
}
END_TEST

static void expect(const char *name, const char *content)
{
    struct error e;
    struct buf b = BUF_INIT;
    bool missing = true;
    ck_assert(file_read(path(name), 1000, &b, &missing, &e));
    ck_assert(!missing);
    ck_assert(slice_eq(buf_slice(&b), slice_str(content)));
    buf_fini(&b);
}

START_TEST(files_are_replaced_whole)
{
    struct error e;
    ck_assert(file_replace(path("f"), slice_str("first, and longer\n"), &e));
    expect("f", "first, and longer\n");
    ck_assert(file_replace(path("f"), slice_str("second\n"), &e));
    expect("f", "second\n");
    ck_assert(file_replace(path("f"), slice_str(""), &e));
    expect("f", "");
    ck_assert_int_eq(access(path("f.new"), F_OK), -1);
    ck_assert(!file_replace(path("nowhere/f"), slice_str("x"), &e));
    ck_assert_ptr_nonnull(strstr(e.text, "nowhere/f: "));
    /* what can't be put in its place leaves nothing behind */
    ck_assert(dir_make(path("taken/inside"), &e));
    ck_assert(!file_replace(path("taken"), slice_str("x"), &e));
    ck_assert_int_eq(access(path("taken.new"), F_OK), -1);
    ck_assert_int_eq(access(path("taken/inside"), F_OK), 0);
}
END_TEST

START_TEST(files_missing_and_too_large)
{
    struct error e;
    struct buf b = BUF_INIT;
    bool missing = false;
    ck_assert(file_read(path("nope"), 10, &b, &missing, &e));
    ck_assert(missing);
    ck_assert(!file_read(path("nope"), 10, &b, NULL, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "No such file"));
    ck_assert(!file_read(root, 10, &b, &missing, &e)); /* a directory */
    ck_assert(!missing);
    ck_assert(file_replace(path("ten"), slice_str("0123456789"), &e));
    ck_assert(file_read(path("ten"), 10, &b, &missing, &e));
    ck_assert_uint_eq(b.len, 10);
    buf_reset(&b, 0);
    ck_assert(!file_read(path("ten"), 9, &b, &missing, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "more than 9 bytes"));
    buf_fini(&b);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, make_root, remove_root);
    tcase_add_test(c, directories_with_parents);
    tcase_add_test(c, one_process_at_a_time);
    tcase_add_test(c, files_are_replaced_whole);
    tcase_add_test(c, files_missing_and_too_large);
}

int main(void)
{
    return unit_main("datadir", add_cases);
}
