/* --print-conf: the table and the struct, written by libyaml's emitter, which knows what has to be
 * quoted how. */
#include "config/option.h"
#include "core/mem.h"
#include <string.h>
#include <yaml.h>

/* The emitter owns the event, also when it fails. */
static bool emit(yaml_emitter_t *em, int made, yaml_event_t *ev)
{
    return made && yaml_emitter_emit(em, ev);
}

static bool emit_text(yaml_emitter_t *em, const char *text, bool quoted)
{
    yaml_event_t ev;
    yaml_scalar_style_t style =
        quoted || !*text ? YAML_SINGLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE;
    return emit(em,
                yaml_scalar_event_initialize(&ev, NULL, NULL, (const yaml_char_t *)text,
                                             (int)strlen(text), 1, 1, style),
                &ev);
}

static bool emit_item(yaml_emitter_t *em, const struct option *o, const struct config *c, size_t i)
{
    char *text = o->type->item(o, c, i);
    bool ok = emit_text(em, text, o->type->is_text);
    mem_free(text);
    return ok;
}

static bool emit_list(yaml_emitter_t *em, const struct option *o, const struct config *c)
{
    yaml_event_t ev;
    if (!emit(em,
              yaml_sequence_start_event_initialize(&ev, NULL, NULL, 1, YAML_FLOW_SEQUENCE_STYLE),
              &ev))
        return false;
    for (size_t i = 0; i < o->type->items(o, c); i++)
        if (!emit_item(em, o, c, i))
            return false;
    return emit(em, yaml_sequence_end_event_initialize(&ev), &ev);
}

static bool emit_options(yaml_emitter_t *em, const struct config *c)
{
    for (const struct option *o = option_table; o < option_table + option_count; o++) {
        if (o->scope != OPTION_KEY || o->type->ignored || o->type->later)
            continue;
        if (!emit_text(em, o->name, false))
            return false;
        if (!(o->type->is_list ? emit_list(em, o, c) : emit_item(em, o, c, 0)))
            return false;
    }
    return true;
}

static bool emit_document(yaml_emitter_t *em, const struct config *c)
{
    yaml_event_t ev;
    return emit(em, yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING), &ev) &&
           emit(em, yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1), &ev) &&
           emit(em,
                yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE),
                &ev) &&
           emit_text(em, c->pool_name, false) &&
           emit(em,
                yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE),
                &ev) &&
           emit_options(em, c) && emit(em, yaml_mapping_end_event_initialize(&ev), &ev) &&
           emit(em, yaml_mapping_end_event_initialize(&ev), &ev) &&
           emit(em, yaml_document_end_event_initialize(&ev, 1), &ev) &&
           emit(em, yaml_stream_end_event_initialize(&ev), &ev);
}

bool config_print(const struct config *c, FILE *outf)
{
    yaml_emitter_t em;
    if (!yaml_emitter_initialize(&em))
        return false;
    yaml_emitter_set_output_file(&em, outf);
    yaml_emitter_set_unicode(&em, 1);
    yaml_emitter_set_width(&em, -1);
    bool ok = emit_document(&em, c);
    yaml_emitter_delete(&em);
    return ok && fflush(outf) == 0;
}
