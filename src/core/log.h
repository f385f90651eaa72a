/* The program's log: one line an event, to stderr or a file, as text or JSON. Any thread may log;
 * a line is one write(2). Levels follow Dynomite's -v: 0 emergency ... 5 notice (default) ... 11.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "core/error.h"
#include <stdbool.h>

enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARN = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

/* Before any thread starts. path NULL or "": stderr. */
bool log_open(const char *path, int verbosity, bool json, struct error *e) MUST_USE;
/* HUP: opens the same path again; keeps the old file when that fails. Main thread. */
bool log_reopen(struct error *e) MUST_USE;
void log_set_verbosity(int verbosity); /* any thread */
int log_verbosity(void);
void log_close(void);

void log_at(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...)  log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)   log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_notice(...) log_at(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)   log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)  log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* At most one line per `ms` for one place in the code: for what an outsider can provoke. */
#define log_limited(ms, level, ...)                                                                \
    do {                                                                                           \
        static uint64_t last_;                                                                     \
        if (log_rate_ok(&last_, (ms)))                                                             \
            log_at((level), __VA_ARGS__);                                                          \
    } while (0)
#include <stdint.h>
bool log_rate_ok(uint64_t *last_ms, uint64_t interval_ms);

#endif
