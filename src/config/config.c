#include "config/config.h"
#include "config/load.h"
#include "core/mem.h"
#include <config.h>
#include <string.h>

/* With gossip, a node's address is what it says itself, whatever dyn_seeds call it. */
static bool can_be_dialled(const struct config *c)
{
    struct address a;
    struct error ignored;
    return !c->enable_gossip || !c->advertise ||
           !address_parse(c->advertise, ADDRESS_TCP_ONLY, &a, &ignored) || !address_is_any(&a);
}

/* There is nothing in memcached's protocol that these could be said with. */
const char *config_not_with(const struct option *o, enum data_store store)
{
    static const char *const passwords[] = {"requirepass", "backend_user", "backend_password"};
    for (size_t i = 0; store == DATA_STORE_MEMCACHE && i < ARRAY_LEN(passwords); i++)
        if (strcmp(o->name, passwords[i]) == 0)
            return "found a text; allowed '' with data_store memcache, whose protocol has no "
                   "password";
    return NULL;
}

static bool check_memcache(struct load *l)
{
    const struct config *c = l->config;
    const char *key = config_needs_password(c) ? "requirepass"
                      : *c->backend_user       ? "backend_user"
                      : *c->backend_password   ? "backend_password"
                                               : NULL;
    const struct option *o = key ? option_by_key(key) : NULL;
    return !o || load_refuse(l, o, "%s", config_not_with(o, DATA_STORE_MEMCACHE));
}

const char *config_data_store(const struct config *c)
{
    static const char *const names[] = {[DATA_STORE_EMBEDDED] = "embedded",
                                        [DATA_STORE_REDIS] = "redis",
                                        [DATA_STORE_MEMCACHE] = "memcache"};
    return names[c->data_store];
}

/* What no option can say alone. */
static bool check(struct load *l)
{
    const struct config *c = l->config;
    if (c->ntokens == 0)
        return load_refuse(l, option_by_key("tokens"), "found none; allowed one or more");
    if (c->data_store == DATA_STORE_EMBEDDED && c->nservers)
        return load_refuse(l, option_by_key("servers"),
                           "found %zu; allowed none with data_store embedded", c->nservers);
    if (c->data_store != DATA_STORE_EMBEDDED && c->nservers != 1)
        return load_refuse(l, option_by_key("servers"),
                           "found %zu; allowed exactly one with data_store %s", c->nservers,
                           config_data_store(c));
    if (c->data_store == DATA_STORE_MEMCACHE && !check_memcache(l))
        return false;
    if (*c->backend_user && !*c->backend_password)
        return load_refuse(l, option_by_key("backend_user"),
                           "found %.100s; allowed with a backend_password", c->backend_user);
    if (c->seed_provider == SEED_PROVIDER_DNS && !*c->seeds_name)
        return load_refuse(l, option_by_key("dyn_seed_provider"),
                           "found dns_provider; allowed with a seeds_name");
    if (c->seed_provider != SEED_PROVIDER_SIMPLE && !c->enable_gossip)
        return load_refuse(l, option_by_key("dyn_seed_provider"),
                           "found %s; allowed simple_provider with enable_gossip: false",
                           c->seed_provider == SEED_PROVIDER_DNS ? "dns_provider"
                                                                 : "florida_provider");
    if (!can_be_dialled(c))
        return load_refuse(l, option_by_key("advertise"),
                           "found %.100s, which no peer can dial; allowed an address that they can",
                           c->advertise);
    return true;
}

static bool load_all(struct load *l, const struct given *given, size_t n)
{
    struct config *c = l->config;
    if (!flags_apply(l, given, n, true))
        return false;
    if (c->help || c->version)
        return true;
    l->file = c->conf_file;
    return (!*l->file || yaml_load(l)) && flags_apply(l, given, n, false) && check(l);
}

bool load_everything(struct load *l, int argc, char **argv)
{
    struct given *given = NULL;
    size_t n;
    bool ok = load_defaults(l) && flags_scan(l, argc, argv, &given, &n) && load_all(l, given, n);
    mem_free(given);
    return ok;
}

/* What is asked for instead of running; CONFIG_RUN: nothing. */
static enum config_result answer(const struct config *c, FILE *outf, FILE *err)
{
    if (c->help) {
        help_print(outf);
    } else if (c->version) {
        fputs("dynomited " PACKAGE_VERSION "\n", outf);
    } else if (c->print_conf) {
        if (!config_print(c, outf)) {
            fputs("--print-conf: found an output that takes no text; allowed one that does\n", err);
            return CONFIG_EXIT_USAGE;
        }
    } else if (c->test_conf && *c->conf_file) {
        fprintf(outf, "configuration file %s syntax is ok\n", c->conf_file);
    } else if (c->test_conf) {
        fputs("configuration is ok\n", outf);
    } else {
        return CONFIG_RUN;
    }
    return CONFIG_EXIT_OK;
}

enum config_result config_load(int argc, char **argv, struct config *out, FILE *outf, FILE *err)
{
    struct load l;
    struct config c;
    enum config_result result = CONFIG_EXIT_USAGE;
    load_init(&l, &c);
    if (load_everything(&l, argc, argv)) {
        fwrite(buf_head(&l.warnings), 1, l.warnings.len, err);
        result = answer(&c, outf, err);
    } else {
        fprintf(err, "%s\n", l.problem);
    }
    if (result == CONFIG_RUN)
        *out = c;
    else
        config_fini(&c);
    load_fini(&l);
    return result;
}

void config_fini(struct config *c)
{
    for (const struct option *o = option_table; o < option_table + option_count; o++)
        if (o->type->clear)
            o->type->clear(o, c);
}
