/* The file: one document, one pool, a mapping of keys. libyaml reads the syntax; quotes and tags
 * say nothing here, an option's type decides what a scalar means. */
#include "config/load.h"
#include "core/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#define FILE_MAX_BYTES (1u << 20)

struct reader {
    struct load *load;
    yaml_document_t *doc;
};

static size_t line_of(const yaml_node_t *n)
{
    return n->start_mark.line + 1;
}

static yaml_node_t *node(struct reader *r, int id)
{
    return yaml_document_get_node(r->doc, id);
}

static const char *kind_of(const yaml_node_t *n)
{
    return n->type == YAML_MAPPING_NODE ? "a mapping" : "a list";
}

/* The scalar's text, NULL when it holds a NUL, which no value may. */
static const char *text_of(const yaml_node_t *n)
{
    const char *text = (const char *)n->data.scalar.value;
    return strlen(text) == n->data.scalar.length ? text : NULL;
}

static bool read_scalar(struct reader *r, const struct option *o, const yaml_node_t *n)
{
    struct load *l = r->load;
    if (n->type != YAML_SCALAR_NODE)
        return load_refuse(l, o, "found %s; allowed a single value", kind_of(n));
    if (!text_of(n))
        return load_refuse(l, o, "found a NUL byte; allowed text");
    return load_add(l, o, text_of(n));
}

static bool read_list(struct reader *r, const struct option *o, const yaml_node_t *n)
{
    const yaml_node_item_t *i = n->data.sequence.items.start;
    for (; i < n->data.sequence.items.top; i++) {
        const yaml_node_t *item = node(r, *i);
        load_from(r->load, o, SOURCE_FILE, line_of(item));
        if (!read_scalar(r, o, item))
            return false;
    }
    return true;
}

/* A list of one may stand without its brackets. */
static bool read_value(struct reader *r, const struct option *o, const yaml_node_t *n)
{
    if (o->type->ignored)
        return true;
    if (o->type->is_list && n->type == YAML_SEQUENCE_NODE)
        return read_list(r, o, n);
    return read_scalar(r, o, n);
}

static bool refuse_unknown(struct load *l, size_t line, const char *key)
{
    const struct option *o;
    for (o = option_table; o < option_table + option_count; o++)
        if (strcmp(o->name, key) == 0) {
            char *flag = option_flag(o);
            load_refuse_key(l, line, key, "found a flag; allowed on the command line, as %s", flag);
            mem_free(flag);
            return false;
        }
    return load_refuse_key(l, line, key, "found an unknown key; allowed are those in --help");
}

static bool read_pair(struct reader *r, const yaml_node_pair_t *pair)
{
    struct load *l = r->load;
    const yaml_node_t *key = node(r, pair->key), *value = node(r, pair->value);
    if (key->type != YAML_SCALAR_NODE || !text_of(key))
        return load_refuse_key(l, line_of(key), "key", "found %s; allowed a name",
                               key->type == YAML_SCALAR_NODE ? "a NUL byte" : kind_of(key));
    const char *name = text_of(key);
    const struct option *o = option_by_key(name);
    if (!o)
        return refuse_unknown(l, line_of(key), name);
    if (load_origin(l, o)->source == SOURCE_FILE)
        return load_refuse_key(l, line_of(key), name, "found a second time; allowed once");
    load_from(l, o, SOURCE_FILE, line_of(key));
    return read_value(r, o, value);
}

static bool read_pool(struct reader *r, const yaml_node_t *pool)
{
    if (pool->type == YAML_SCALAR_NODE && pool->data.scalar.length == 0)
        return true; /* "dyn_o_mite:" alone: all defaults */
    if (pool->type != YAML_MAPPING_NODE)
        return load_refuse_key(r->load, line_of(pool), r->load->config->pool_name,
                               "found %s; allowed a mapping of keys",
                               pool->type == YAML_SCALAR_NODE ? "a single value" : kind_of(pool));
    const yaml_node_pair_t *p = pool->data.mapping.pairs.start;
    for (; p < pool->data.mapping.pairs.top; p++)
        if (!read_pair(r, p))
            return false;
    return true;
}

/* The top of the document: exactly one pool, whose name is the cluster's. */
static bool read_top(struct reader *r)
{
    struct load *l = r->load;
    const yaml_node_t *top = yaml_document_get_root_node(r->doc);
    if (!top || top->type != YAML_MAPPING_NODE ||
        top->data.mapping.pairs.top == top->data.mapping.pairs.start)
        return load_refuse_key(l, top ? line_of(top) : 1, "pool",
                               "found none; allowed one, as dyn_o_mite:");
    const yaml_node_pair_t *pair = top->data.mapping.pairs.start;
    const yaml_node_t *name = node(r, pair->key);
    if (top->data.mapping.pairs.top - pair > 1)
        return load_refuse_key(l, line_of(node(r, pair[1].key)), "pool",
                               "found a second one; allowed one");
    const struct option *o = option_by_flag("pool-name", strlen("pool-name"));
    load_from(l, o, SOURCE_FILE, line_of(name));
    return read_scalar(r, o, name) && read_pool(r, node(r, pair->value));
}

static bool refuse_syntax(struct load *l, const yaml_parser_t *p)
{
    size_t line = p->error == YAML_READER_ERROR ? 1 : p->problem_mark.line + 1;
    return load_refuse_key(l, line, "yaml", "found a mistake: %s; allowed YAML",
                           p->problem ? p->problem : "unreadable");
}

static bool read_only_document(struct load *l, yaml_parser_t *p, yaml_document_t *doc)
{
    struct reader r = {l, doc};
    yaml_document_t next;
    if (!read_top(&r))
        return false;
    if (!yaml_parser_load(p, &next))
        return refuse_syntax(l, p);
    const yaml_node_t *second = yaml_document_get_root_node(&next);
    size_t line = second ? line_of(second) : 0;
    yaml_document_delete(&next);
    return !line || load_refuse_key(l, line, "pool", "found a second document; allowed one");
}

static bool parse(struct load *l, const struct buf *text)
{
    yaml_parser_t p;
    yaml_document_t doc;
    if (!yaml_parser_initialize(&p))
        return load_refuse_key(l, 1, "yaml", "found no memory for its parser; allowed some");
    yaml_parser_set_input_string(&p, buf_head(text), text->len);
    bool ok = yaml_parser_load(&p, &doc);
    if (ok) {
        ok = read_only_document(l, &p, &doc);
        yaml_document_delete(&doc);
    } else {
        refuse_syntax(l, &p);
    }
    yaml_parser_delete(&p);
    return ok;
}

static bool refuse_file(struct load *l, const char *why)
{
    return load_refuse_flag(l, "--conf-file",
                            "found %.200s: %s; allowed a readable file of at most %u bytes",
                            l->file, why, FILE_MAX_BYTES);
}

static bool slurp(struct load *l, int fd, struct buf *out)
{
    for (;;) {
        ssize_t n = read(fd, buf_reserve(out, 65536), 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refuse_file(l, strerror(errno));
        if (n == 0)
            return true;
        buf_commit(out, (size_t)n);
        if (out->len > FILE_MAX_BYTES)
            return refuse_file(l, "too large");
    }
}

bool yaml_load(struct load *l)
{
    struct buf text = BUF_INIT;
    int fd = open(l->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refuse_file(l, strerror(errno));
    bool ok = slurp(l, fd, &text) && parse(l, &text);
    close(fd);
    buf_fini(&text);
    return ok;
}

bool yaml_can_hold(const char *text)
{
    yaml_event_t ev;
    if (!yaml_scalar_event_initialize(&ev, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text),
                                      1, 1, YAML_ANY_SCALAR_STYLE))
        return false;
    yaml_event_delete(&ev);
    return true;
}
