#include "store/embedded.h"
#include "config/config.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define FORMAT      1
#define READERS_MAX 1024 /* workers, the admin's included */
/* What a few transactions copy and free before the pages of the first can be used again. */
#define RESERVE_PAGES 32
#define RESERVE_MAX   (4u * 1024 * 1024)
#define MAP_SLACK     (64u * 1024 * 1024)
#define LOG_BYTES_MIN (64u * 1024)
#define CLOSE_MS      3000
#define LOG_BYTES_MAX (8u * 1024 * 1024)

/* The memory of a table that was dropped, its last reader gone. */
static void free_dropped(struct memtable *t, bool keep_file)
{
    bool quiet = __atomic_load_n(&t->quiet, __ATOMIC_ACQUIRE);
    assert(quiet);
    (void)quiet;
    if (t->file && keep_file)
        segment_close(t->file);
    else if (t->file)
        segment_discard(t->file);
    mem_free(t);
}

void embedded_free_table(struct memtable *t, bool keep_file)
{
    if (!t)
        return;
    memtable_drop(t);
    rcu_drain();
    free_dropped(t, keep_file);
}

static void embedded_free(struct embedded *s)
{
    struct memtable *tables[] = {s->frozen, s->active};
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        if (tables[i])
            memtable_drop(tables[i]);
    rcu_drain(); /* once for all: it takes 10 ms and more */
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        if (tables[i])
            free_dropped(tables[i], true); /* of what LMDB has nothing is left there */
    for (size_t i = 0; i < ARRAY_LEN(s->retired); i++)
        if (s->retired[i])
            free_dropped(s->retired[i], false);
    if (s->reading)
        mdb_txn_abort(s->reading);
    mdb_env_close(s->env);
    if (s->wal_dir >= 0)
        close(s->wal_dir);
    store_base_fini(&s->base);
    mem_free(s->flush);
    buf_fini(&s->scratch);
    mem_free(s->commands);
    mem_free(s->starts);
    mem_free(s->moved);
    mem_free(s->sources);
    mem_free(s);
}

static int write_out(struct embedded *s, struct memtable **table, uint64_t until)
{
    int rc = *table ? embedded_checkpoint_now(s, *table, until) : 0;
    if (rc != 0)
        return rc;
    embedded_free_table(*table, false);
    *table = NULL;
    return 0;
}

/* The older file first, as always. */
static int sync_log(struct embedded *s)
{
    struct memtable *const tables[] = {s->frozen, s->active};
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(tables) && rc == 0; i++)
        if (tables[i] && s->sync != SYNC_NEVER)
            rc = wal_sync(tables[i]->file, tables[i]->file->last);
    return rc;
}

/* What is in memory goes to LMDB, so that the next start is quick; else the log has it. A slow disk
 * mustn't hold up the stop for that. */
static void embedded_close(struct store *store)
{
    struct embedded *s = container_of_(store, struct embedded, base);
    uint64_t until = clock_mono_ms() + CLOSE_MS;
    int rc = write_out(s, &s->frozen, until);
    if (rc == 0 && s->active && !memtable_is_empty(s->active)) {
        embedded_take_numbers(s);
        rc = write_out(s, &s->active, until);
    }
    if (rc == 0)
        rc = mdb_env_sync(s->env, 1);
    if (rc == ETIMEDOUT)
        log_notice("embedded store: slow disk: the log keeps what the checkpoint didn't get done");
    else if (rc != 0)
        log_error("embedded store: checkpoint at close: %s", mdb_strerror(rc));
    if (rc != 0)
        rc = sync_log(s);
    if (rc != 0)
        log_error("embedded store: its log at close: %s", mdb_strerror(rc));
    embedded_free(s);
}

static void embedded_writer_start(struct store *store, uv_loop_t *loop,
                                  const struct store_events *events)
{
    struct embedded *s = container_of_(store, struct embedded, base);
    struct error e;
    s->events = *events;
    embedded_sweeper_start(s, loop);
    if (!embedded_checkpointer_start(s, loop, &e)) {
        log_error("embedded store: %s", e.text);
        store_set_down(store, e.text);
        return;
    }
    store_set_up(store);
    s->events.up(s->events.arg);
}

static void embedded_writer_stop(struct store *store)
{
    struct embedded *s = container_of_(store, struct embedded, base);
    embedded_checkpointer_stop(s);
    embedded_sweeper_stop(s);
}

/* LMDB's, where no memtable has a newer one. */
static uint64_t kept_number(struct embedded *s, const char *node_id)
{
    MDB_txn *txn;
    MDB_val k = mdb_val_of(node_id, strlen(node_id)), v;
    uint64_t n = 0;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        embedded_broken(s, "numbers", rc);
        return 0;
    }
    rc = mdb_get(txn, s->numbers, &k, &v);
    if (rc == 0 && v.mv_size == sizeof n)
        memcpy(&n, v.mv_data, sizeof n);
    mdb_txn_abort(txn);
    if (rc != 0 && rc != MDB_NOTFOUND)
        embedded_broken(s, "numbers", rc);
    return n;
}

static uint64_t find_number(struct embedded *s, const char *node_id)
{
    const uint64_t *n = NULL;
    for (size_t i = 0; i < STORE_SOURCES_MAX && !n; i++)
        if (s->sources[i].moved && strcmp(s->sources[i].id, node_id) == 0)
            n = &s->sources[i].last;
    if (!n && s->active)
        n = memtable_number(s->active, node_id);
    if (!n && s->frozen)
        n = memtable_number(s->frozen, node_id);
    return n ? *n : kept_number(s, node_id);
}

static uint64_t embedded_last(struct store *store, unsigned source, const char *node_id)
{
    struct embedded *s = container_of_(store, struct embedded, base);
    assert(source < STORE_SOURCES_MAX && node_id[0] && strlen(node_id) < sizeof s->sources->id);
    struct embedded_source *known = &s->sources[source];
    if (strcmp(known->id, node_id) != 0) {
        uint64_t last = find_number(s, node_id);
        embedded_keep_number(s, known);
        snprintf(known->id, sizeof known->id, "%s", node_id);
        known->last = last;
    }
    return known->last;
}

static const struct store_ops ops = {.answers_at_once = true,
                                     .close = embedded_close,
                                     .writer_start = embedded_writer_start,
                                     .writer_stop = embedded_writer_stop,
                                     .last = embedded_last,
                                     .apply = embedded_apply,
                                     .forget_below = embedded_forget_below,
                                     .reader_new = embedded_reader_new,
                                     .reader_free = embedded_reader_free,
                                     .read = embedded_read,
                                     .inspect = embedded_inspect,
                                     .copy = embedded_copy};

/* LMDB's own order, quicker: the first eight bytes are a hash and nearly always decide. */
static int compare_keys(const MDB_val *a, const MDB_val *b)
{
    uint64_t x, y;
    size_t least = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
    if (least >= sizeof x) {
        memcpy(&x, a->mv_data, sizeof x);
        memcpy(&y, b->mv_data, sizeof y);
        if (x != y)
            return be64toh(x) < be64toh(y) ? -1 : 1;
    }
    int order = memcmp(a->mv_data, b->mv_data, least);
    return order ? order : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

static int open_tables(struct embedded *s, MDB_txn *txn)
{
    int rc = mdb_dbi_open(txn, "keys", MDB_CREATE, &s->keys);
    if (rc == 0)
        rc = mdb_set_compare(txn, s->keys, compare_keys);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "due", MDB_CREATE, &s->due);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "numbers", MDB_CREATE, &s->numbers);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &s->meta);
    return rc;
}

/* 0 in a file that was made before it was written there. */
static int read_meta(struct embedded *s, MDB_txn *txn, const char *name, uint64_t *out)
{
    MDB_val k = mdb_val_of(name, strlen(name)), v;
    int rc = mdb_get(txn, s->meta, &k, &v);
    *out = 0;
    if (rc == 0 && v.mv_size != sizeof *out)
        return MDB_CORRUPTED;
    if (rc == 0)
        memcpy(out, v.mv_data, sizeof *out);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Tables and totals of a new file are made, those of an old one are read. */
static int read_totals(struct embedded *s, MDB_txn *txn)
{
    MDB_val k = mdb_val_of("totals", 6), v;
    int rc = mdb_get(txn, s->meta, &k, &v);
    s->kept = (struct embedded_totals){.format = FORMAT};
    if (rc == MDB_NOTFOUND) {
        v = mdb_val_of(&s->kept, sizeof s->kept);
        return mdb_put(txn, s->meta, &k, &v, 0);
    }
    if (rc == 0 && v.mv_size != sizeof s->kept)
        return MDB_VERSION_MISMATCH;
    if (rc == 0)
        memcpy(&s->kept, v.mv_data, sizeof s->kept);
    return rc == 0 && s->kept.format != FORMAT ? MDB_VERSION_MISMATCH : rc;
}

static int load(struct embedded *s, uint64_t *applied)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = open_tables(s, txn);
    if (rc == 0)
        rc = read_totals(s, txn);
    if (rc == 0)
        rc = read_meta(s, txn, "wal", applied);
    if (rc == 0)
        rc = read_meta(s, txn, "forgotten", &s->forgotten);
    if (rc == 0)
        rc = embedded_read_flush(s, txn);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    s->totals = s->kept;
    rc = mdb_txn_commit(txn);
    return rc == 0 ? embedded_used(s, &s->used) : rc;
}

/* Every page that a record stands on is looked at. */
static int walk(struct embedded *s)
{
    MDB_txn *txn;
    MDB_cursor *c;
    MDB_val k, v;
    struct record r;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_open(txn, s->keys, &c);
    if (rc == 0) {
        while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0)
            if (!record_read(slice_of(v.mv_data, v.mv_size), &r)) {
                rc = MDB_CORRUPTED;
                break;
            }
        mdb_cursor_close(c);
    }
    mdb_txn_abort(txn);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* LMDB maps the file and trusts it: a page behind its end would be a SIGBUS. A file that is shorter
 * than its last page number says may only lack pages that were given back before they were written,
 * so it is made as long as it should be and read through; zeros where a page should be are found.
 */
static bool repair_length(struct embedded *s, bool *shortened, struct error *e)
{
    MDB_envinfo info;
    struct stat st;
    int fd;
    mdb_env_info(s->env, &info);
    mdb_env_get_fd(s->env, &fd);
    if (fstat(fd, &st) != 0)
        return error_set(e, "store.mdb: %s", strerror(errno));
    off_t need = (off_t)((info.me_last_pgno + 1) * s->page);
    *shortened = st.st_size > 0 && st.st_size < need;
    if (*shortened && ftruncate(fd, need) != 0)
        return error_set(e, "store.mdb: %s", strerror(errno));
    return true;
}

static int make_env(struct embedded *s, const char *path)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS;
    /* a checkpoint ends with a sync of everything; until then the log has it */
    flags |= s->sync == SYNC_NEVER ? MDB_NOSYNC : MDB_NOMETASYNC;
    uint64_t map = s->max_bytes + s->max_bytes / 4 + MAP_SLACK; /* see embedded_room.c */
    int rc = mdb_env_create(&s->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(s->env, 4);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(s->env, READERS_MAX);
    if (rc == 0)
        rc = mdb_env_set_mapsize(s->env, map / s->page * s->page);
    if (rc == 0)
        rc = mdb_env_open(s->env, path, flags, 0600);
    if (rc == 0) {
        int dead; /* readers that a kill -9 left behind */
        rc = mdb_reader_check(s->env, &dead);
    }
    return rc;
}

static bool open_file(struct embedded *s, const char *path, uint64_t *applied, struct error *e)
{
    bool shortened = false;
    int rc = make_env(s, path);
    if (rc == 0 && !repair_length(s, &shortened, e))
        return false;
    if (rc == 0)
        rc = load(s, applied);
    if (rc == 0 && shortened)
        rc = walk(s);
    if (rc == MDB_VERSION_MISMATCH)
        return error_set(e, "%s: made by another version of this program", path);
    if (rc == MDB_INVALID || rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND)
        return error_set(e, "%s: the store is damaged: %s", path, mdb_strerror(rc));
    if (rc != 0)
        return error_set(e, "%s: %s", path, mdb_strerror(rc));
    return true;
}

static const struct string_command **index_commands(void)
{
    size_t n;
    const struct command_spec *table = command_table(&n);
    const struct string_command **out = mem_calloc(n, sizeof(struct string_command *));
    for (size_t i = 0; i < n; i++)
        out[i] = string_find(slice_str(table[i].name));
    return out;
}

static struct embedded *embedded_new(const struct store_options *o)
{
    struct embedded *s = MEM_NEW_ALIGNED(struct embedded);
    store_base_init(&s->base, &ops);
    s->page = (size_t)sysconf(_SC_PAGESIZE);
    s->max_bytes = o->max_bytes;
    s->replies_max = o->replies_max;
    s->newest_overwrite = o->clock_floor;
    s->reserve = o->max_bytes / 16 < RESERVE_MAX ? o->max_bytes / 16 : RESERVE_MAX;
    if (s->reserve < RESERVE_PAGES * s->page)
        s->reserve = RESERVE_PAGES * s->page;
    s->sync = o->sync;
    s->wal_dir = -1;
    s->log_bytes = o->log_bytes ? o->log_bytes : o->max_bytes / 8;
    s->log_bytes = s->log_bytes < LOG_BYTES_MIN ? LOG_BYTES_MIN : s->log_bytes;
    s->log_bytes = s->log_bytes > LOG_BYTES_MAX ? LOG_BYTES_MAX : s->log_bytes;
    s->log_bytes = s->log_bytes / s->page * s->page; /* as files are made, to be used again */
    s->commands = index_commands();
    s->sources = mem_calloc(STORE_SOURCES_MAX, sizeof *s->sources);
    s->moved = mem_calloc(STORE_SOURCES_MAX, sizeof *s->moved);
    return s;
}

/* Before clients take the last descriptor. If it fails the first batch tries again, and tells. */
static void make_first_table(struct embedded *s)
{
    int rc = 0;
    if (!s->active && embedded_make_space(s, 0, &rc) != EMBEDDED_READY)
        log_warn("embedded store: no file for its log yet");
}

struct store *store_open_embedded(const struct store_options *o, struct error *e)
{
    struct embedded *s = embedded_new(o);
    char *path = mem_printf("%s/store.mdb", o->data_dir);
    char *wal = mem_printf("%s/store.wal", o->data_dir);
    uint64_t applied = 0;
    bool ok = open_file(s, path, &applied, e) && embedded_replay(s, wal, applied, e);
    mem_free(path);
    mem_free(wal);
    if (!ok) {
        embedded_free(s);
        return NULL;
    }
    make_first_table(s);
    embedded_show_totals(s);
    return &s->base;
}
