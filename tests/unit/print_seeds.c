/* Prints what each lookup of seeds gave, one line each, until its standard input ends: for
 * tests/cluster/test_seeds.py. It takes dynomited's flags. */
#include "core/log.h"
#include "gossip/seeds.h"
#include <stdio.h>
#include <unistd.h>

struct printer {
    uv_loop_t loop;
    uv_poll_t input;
    struct seeds *seeds;
};

static void print_one(void *arg, const char *address, const struct config_seed *seed)
{
    (void)arg;
    printf(" %s", address);
    if (seed->ntokens)
        printf("/%s/%s/%u", seed->rack, seed->datacenter, seed->tokens[0]);
}

static void print_all(void *arg)
{
    struct printer *p = arg;
    printf("seeds:");
    seeds_each(p->seeds, print_one, NULL);
    printf("\n");
    fflush(stdout);
}

static void on_input(uv_poll_t *h, int status, int events)
{
    struct printer *p = h->data;
    char c;
    (void)status;
    (void)events;
    if (read(STDIN_FILENO, &c, 1) > 0)
        return;
    uv_close((uv_handle_t *)&p->input, NULL);
    seeds_stop(p->seeds);
}

int main(int argc, char **argv)
{
    struct config c;
    struct printer p;
    struct error e;
    enum config_result r = config_load(argc, argv, &c, stdout, stderr);
    if (r != CONFIG_RUN)
        return r == CONFIG_EXIT_USAGE;
    if (!log_open("", LOG_LEVEL_NOTICE, false, &e))
        return 1;
    uv_loop_init(&p.loop);
    uv_poll_init(&p.loop, &p.input, STDIN_FILENO);
    p.input.data = &p;
    uv_poll_start(&p.input, UV_READABLE, on_input);
    p.seeds = seeds_new(&p.loop, &c, print_all, &p);
    uv_run(&p.loop, UV_RUN_DEFAULT);
    int left = uv_loop_close(&p.loop);
    config_fini(&c);
    log_close();
    return left != 0;
}
