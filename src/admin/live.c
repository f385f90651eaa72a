#include "admin/live.h"
#include <stdlib.h>
#include <string.h>

static json_t *item(enum config_kind kind, const char *text)
{
    json_t *v = NULL;
    if (kind == CONFIG_BOOL)
        v = json_boolean(strcmp(text, "true") == 0);
    else if (kind == CONFIG_NUMBER)
        v = json_integer(strtoll(text, NULL, 10));
    else
        v = json_string(text);
    return v ? v : json_string("(not UTF-8)");
}

static void show(void *arg, const struct config_value *c)
{
    json_t *v = c->list ? json_array() : item(c->kind, c->item[0]);
    for (size_t i = 0; c->list && i < c->n; i++)
        json_array_append_new(v, item(c->kind, c->item[i]));
    json_object_set_new(arg, c->name, v);
}

json_t *live_answer(const struct admin_sources *s, char *const *word, size_t n, struct error *e)
{
    json_t *o = json_object();
    bool ok = true;
    if (n == 1 && strcmp(word[0], "dump") == 0)
        config_dump(s->config, show, o);
    else if (n == 2 && strcmp(word[0], "get") == 0)
        ok = config_get(s->config, word[1], show, o, e);
    else if (n == 3 && strcmp(word[0], "set") == 0)
        ok = config_set(s->config, word[1], word[2], "dyn-admin", e);
    else
        ok = error_set(e, "config: allowed get NAME, set NAME VALUE, dump");
    if (ok) {
        peers_follow_caps(s->peers, s->config);
        return o;
    }
    json_decref(o);
    return NULL;
}
