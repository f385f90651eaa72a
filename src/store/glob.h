/* store/glob: patterns of SCAN MATCH, with Redis's meaning: * ? [abc] [a-z] [^abc] and \x for x
 * itself, over bytes. Pure, any thread. Time is bounded by pattern length times text length. */
#ifndef STORE_GLOB_H
#define STORE_GLOB_H

#include "core/buf.h"

bool glob_match(struct slice pattern, struct slice text);

#endif
