/* hint/numbers: what a receiver makes of the next number of a sender (DESIGN.md section 7). Pure.
 */
#ifndef HINT_NUMBERS_H
#define HINT_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

enum number_verdict {
    NUMBER_APPLY,     /* the next one: it has its effect, and becomes the last */
    NUMBER_DUPLICATE, /* it had its effect before: only acknowledge */
    NUMBER_GAP        /* something is missing: say the last, the sender goes back to behind it */
};

/* `last`: the sender's last number that was applied here, 0 if there is none. A skip from skip_from
 * to seq says that the numbers in between will never come. */
static inline enum number_verdict number_check(uint64_t last, bool is_skip, uint64_t skip_from,
                                               uint64_t seq)
{
    if (seq <= last)
        return NUMBER_DUPLICATE;
    uint64_t before = is_skip ? skip_from : seq - 1;
    return before == last || (is_skip && before < last) ? NUMBER_APPLY : NUMBER_GAP;
}

#endif
