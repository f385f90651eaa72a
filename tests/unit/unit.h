/* The frame of a Check suite, so that each file has only its cases. */
#ifndef UNIT_H
#define UNIT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* From UNIT_SEED, or a new one; printed either way, so that a failure can be replayed. */
static inline unsigned unit_seed(void)
{
    const char *given = getenv("UNIT_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    printf("seed %u (UNIT_SEED=%u replays)\n", seed, seed);
    fflush(stdout);
    return seed;
}

static inline int unit_main(const char *name, void (*add_cases)(TCase *))
{
    Suite *s = suite_create(name);
    TCase *c = tcase_create(name);
    add_cases(c);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
