/* What a fuzz target is: one function that takes any bytes and ends the process when a promise of
 * the core under test doesn't hold. tests/fuzz/replay.c or libFuzzer calls it. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* the name is libFuzzer's */

/* Unlike assert it is there in every build. */
#define FUZZ_CHECK(promise)                                                                        \
    do {                                                                                           \
        if (!(promise)) {                                                                          \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #promise);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
