#include "store/glob.h"

/* One element of a pattern against one byte. *at goes behind the element. */
static bool set_matches(struct slice p, size_t *at, uint8_t c)
{
    size_t i = *at + 1;
    bool negated = i < p.len && p.ptr[i] == '^', found = false;
    if (negated)
        i++;
    for (; i < p.len && p.ptr[i] != ']'; i++) {
        if (p.ptr[i] == '\\' && i + 1 < p.len) {
            i++;
            found = found || p.ptr[i] == c;
        } else if (i + 2 < p.len && p.ptr[i + 1] == '-') {
            uint8_t a = p.ptr[i], b = p.ptr[i + 2];
            found = found || (a <= b ? a <= c && c <= b : b <= c && c <= a);
            i += 2;
        } else {
            found = found || p.ptr[i] == c;
        }
    }
    *at = i < p.len ? i + 1 : i; /* an unclosed set ends with the pattern */
    return found != negated;
}

static bool element_matches(struct slice p, size_t *at, uint8_t c)
{
    switch (p.ptr[*at]) {
    case '?':
        ++*at;
        return true;
    case '[':
        return set_matches(p, at, c);
    case '\\':
        if (*at + 1 < p.len)
            ++*at;
        break;
    default:
        break;
    }
    return p.ptr[(*at)++] == c;
}

/* Only the last star ever needs another try: what stands before it has matched as early as it can.
 */
bool glob_match(struct slice p, struct slice t)
{
    size_t at = 0, i = 0, star = SIZE_MAX, star_i = 0;
    while (i < t.len || at < p.len) {
        if (at < p.len && p.ptr[at] == '*') {
            star = ++at;
            star_i = i;
            continue;
        }
        size_t next = at;
        if (at < p.len && i < t.len && element_matches(p, &next, t.ptr[i])) {
            at = next;
            i++;
            continue;
        }
        if (star == SIZE_MAX || star_i >= t.len)
            return false;
        at = star;
        i = ++star_i;
    }
    return true;
}
