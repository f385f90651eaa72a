#include "peer/inbound.h"
#include "core/mem.h"
#include "store/store.h"
#include <inttypes.h>

bool inbound_number_ok(const struct frame *f, uint64_t start_mark, struct error *e)
{
    if (f->seq >> 32 > start_mark)
        return error_set(e, "number %" PRIx64 " found, above its start mark %" PRIx64, f->seq,
                         start_mark);
    if (f->kind != FRAME_SKIP)
        return true;
    uint64_t from;
    if (!frame_skip_from(f, &from))
        return error_set(e, "a skip of %zu bytes found; allowed 8", f->payload.len);
    return from < f->seq ||
           error_set(e, "a skip of numbers from %" PRIx64 " back to %" PRIx64 " found", from,
                     f->seq);
}

bool inbound_batch_ok(struct slice frames, uint64_t start_mark, struct error *e)
{
    for (size_t at = 0, size = 0; at < frames.len; at += size) {
        struct frame f;
        enum frame_status rc =
            frame_parse(frames.ptr + at, frames.len - at, FRAME_PAYLOAD_MAX, &f, &size);
        if (rc != FRAME_OK)
            return error_set(e, "a packed frame found with %s at byte %zu of %zu",
                             rc == FRAME_BAD_CRC ? "a wrong checksum" : "what isn't a whole frame",
                             at, frames.len);
        if (f.kind != FRAME_WRITE && f.kind != FRAME_SKIP)
            return error_set(e, "a packed frame found that holds one of kind %u; allowed %u and %u",
                             f.kind, FRAME_WRITE, FRAME_SKIP);
        if (!inbound_number_ok(&f, start_mark, e))
            return false;
    }
    return true;
}

static bool has_hidden_key(const struct command_spec *spec, const struct resp_command *cmd)
{
    size_t few[16], *keys = few, n = sizeof STORE_HIDDEN_PREFIX - 1;
    if (cmd->argc > ARRAY_LEN(few))
        keys = mem_alloc(cmd->argc * sizeof *keys);
    size_t nkeys = command_keys(spec, cmd, keys, cmd->argc);
    bool found = false;
    for (size_t i = 0; i < nkeys && !found; i++) {
        struct slice key = cmd->argv[keys[i]];
        found = key.len >= n && memcmp(key.ptr, STORE_HIDDEN_PREFIX, n) == 0;
    }
    if (keys != few)
        mem_free(keys);
    return found;
}

static bool may_write(const struct command_spec *spec, const struct resp_command *cmd)
{
    struct error ignored;
    if (!command_arity_ok(spec, cmd, &ignored))
        return false;
    enum command_class class_ = command_class_of(spec, cmd);
    return (class_ == COMMAND_OVERWRITE || class_ == COMMAND_CHANGE) && !has_hidden_key(spec, cmd);
}

bool inbound_is_write(const struct command_spec *spec, const struct resp_command *cmd)
{
    return may_write(spec, cmd) && !command_undetermined(spec, cmd);
}

bool inbound_is_undetermined(const struct command_spec *spec, const struct resp_command *cmd)
{
    return may_write(spec, cmd) && command_undetermined(spec, cmd);
}
