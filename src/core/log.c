#include "core/log.h"
#include "core/clock.h"
#include "core/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* fd and path change in the main thread only (start, HUP); others read fd atomically. */
static int log_fd = STDERR_FILENO;
static int log_level_max = LOG_LEVEL_NOTICE;
static bool log_json;
static char *log_path;

static const char *level_name(enum log_level level)
{
    return level <= LOG_LEVEL_ERROR    ? "error"
           : level == LOG_LEVEL_WARN   ? "warn"
           : level == LOG_LEVEL_NOTICE ? "notice"
           : level == LOG_LEVEL_INFO   ? "info"
                                       : "debug";
}

bool log_open(const char *path, int verbosity, bool json, struct error *e)
{
    log_json = json;
    log_set_verbosity(verbosity);
    if (!path || !*path)
        return true;
    mem_free(log_path);
    log_path = mem_strdup(path);
    return log_reopen(e);
}

bool log_reopen(struct error *e)
{
    if (!log_path)
        return true;
    int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set(e, "log file %s: %s", log_path, strerror(errno));
    int old = __atomic_load_n(&log_fd, __ATOMIC_RELAXED);
    if (old == STDERR_FILENO) {
        __atomic_store_n(&log_fd, fd, __ATOMIC_RELEASE);
        return true;
    }
    /* dup2 swaps the file under the number, so that a thread in write(2) never sees it closed */
    bool ok = dup3(fd, old, O_CLOEXEC) >= 0;
    if (!ok)
        error_set(e, "log file %s: %s", log_path, strerror(errno));
    close(fd);
    return ok;
}

void log_set_verbosity(int verbosity)
{
    __atomic_store_n(&log_level_max, verbosity, __ATOMIC_RELAXED);
}

int log_verbosity(void)
{
    return __atomic_load_n(&log_level_max, __ATOMIC_RELAXED);
}

void log_close(void)
{
    if (log_fd != STDERR_FILENO)
        close(log_fd);
    log_fd = STDERR_FILENO;
    mem_free(log_path);
    log_path = NULL;
}

/* How many bytes the UTF-8 character at `p` has; 0: what stands there is none. */
static size_t utf8_length(const unsigned char *p)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if ((*p & forms[i].mask) != forms[i].lead)
            continue;
        uint32_t c = (uint32_t)(*p & ~forms[i].mask & 0xff);
        for (size_t k = 1; k <= i; k++) {
            if ((p[k] & 0xc0) != 0x80) /* the end of the text too */
                return 0;
            c = c << 6 | (p[k] & 0x3f);
        }
        return c < forms[i].least || c > 0x10ffff || (c & 0xfffff800) == 0xd800 ? 0 : i + 1;
    }
    return 0;
}

/* What isn't UTF-8 becomes U+FFFD: a line must stay JSON whatever an outsider put into it. */
static void json_escape(char *out, size_t room, const char *in)
{
    size_t n = 0, len;
    for (const unsigned char *p = (const unsigned char *)in; *p && n + 7 < room; p += len) {
        len = utf8_length(p);
        if (*p == '"' || *p == '\\') {
            out[n++] = '\\';
            out[n++] = (char)*p;
        } else if (*p < 0x20) {
            n += (size_t)snprintf(out + n, room - n, "\\u%04x", *p);
        } else if (len == 0) {
            len = 1;
            n += (size_t)snprintf(out + n, room - n, "\\ufffd");
        } else {
            memcpy(out + n, p, len);
            n += len;
        }
    }
    out[n] = 0;
}

void log_at(enum log_level level, const char *fmt, ...)
{
    if ((int)level > log_verbosity())
        return;
    char text[2048], line[6400], when[40];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);

    struct timespec ts;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    size_t w = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(when + w, sizeof when - w, ".%03ldZ", ts.tv_nsec / 1000000);

    int n;
    if (log_json) {
        char escaped[6200];
        json_escape(escaped, sizeof escaped, text);
        n = snprintf(line, sizeof line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"%s\"}\n",
                     when, level_name(level), escaped);
    } else {
        for (char *p = text; *p; p++)
            if ((unsigned char)*p < 0x20)
                *p = ' ';
        n = snprintf(line, sizeof line, "%s %-6s %s\n", when, level_name(level), text);
    }
    ssize_t done = write(__atomic_load_n(&log_fd, __ATOMIC_ACQUIRE), line, (size_t)n);
    (void)done; /* a log that can't be written has nowhere to say so */
}

bool log_rate_ok(uint64_t *last_ms, uint64_t interval_ms)
{
    uint64_t now = clock_mono_ms() + 1;
    uint64_t last = __atomic_load_n(last_ms, __ATOMIC_RELAXED);
    if (last && now - last < interval_ms)
        return false;
    return __atomic_compare_exchange_n(last_ms, &last, now, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}
