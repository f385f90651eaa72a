/* A log directory with one segment of any bytes: opening never crashes, what is read is in order
 * and whole, and what expires at any time in between isn't read. The input's first byte: odd puts
 * the header right (magic, CRC), so that a search gets to the records. */
#include "core/mem.h"
#include "core/rcu.h"
#include "fuzz.h"
#include "hint/log.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD 80
#define NAME "0000000100000001.log"

static char dir[64], path[128];

static void make_dir(void)
{
    if (dir[0])
        return;
    rcu_start();
    snprintf(dir, sizeof dir, "/tmp/fuzzseg.XXXXXX");
    FUZZ_CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/" NAME, dir);
}

static void remove_dir(void)
{
    if (!dir[0])
        return;
    unlink(path);
    rmdir(dir);
}

static void put_header_right(uint8_t *d, size_t n)
{
    if (n < HEAD)
        return;
    memset(d, 0, 64);
    memcpy(d, "DYNHINTS", 8);
    d[8] = 1;
    d[16] = 1; /* first = 1 << 32 | 1 */
    d[20] = 1;
    memcpy(d + 24, "peer", 4);
    uint32_t crc = crc32c(0, d, 64);
    memcpy(d + 64, &crc, 4);
}

static void read_all(struct hint_log *l)
{
    struct frame f;
    struct slice bytes;
    uint64_t after = 0, n = 0, expired = 0;
    while (hint_log_next(l, after, &f, &bytes)) {
        FUZZ_CHECK(f.seq > after && bytes.len == FRAME_HEAD + f.payload.len);
        FUZZ_CHECK(!f.deadline || f.deadline >= expired);
        after = f.seq;
        if (++n % 3 == 0)
            hint_log_ack(l, after);
        if (n % 4 == 0 && f.deadline > expired) {
            expired = f.deadline; /* bytes stay valid until the next call */
            hint_log_expire(l, expired);
        }
    }
    hint_log_ack(l, after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool registered;
    if (size < 1 || size > 65536)
        return 0;
    make_dir();
    if (!registered)
        registered = atexit(remove_dir) == 0;
    uint8_t *copy = mem_dup(data + 1, size - 1);
    if (data[0] & 1)
        put_header_right(copy, size - 1);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    FUZZ_CHECK(fd >= 0 && write(fd, copy, size - 1) == (ssize_t)(size - 1));
    close(fd);
    mem_free(copy);
    struct hint_log_report r;
    struct error e;
    struct hint_log *l =
        hint_log_open(&(struct hint_log_options){.dir = dir, .peer = "peer"}, 2ull << 32, &r, &e);
    FUZZ_CHECK(l != NULL);
    read_all(l);
    hint_log_close(l);
    rcu_drain();
    return 0;
}
