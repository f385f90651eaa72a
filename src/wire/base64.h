/* wire/base64: binary keys of memcached's meta commands (flag b). Reading is as lenient as
 * memcached is: bytes that aren't of the alphabet are passed over, the first padding ends it. Pure.
 */
#ifndef WIRE_BASE64_H
#define WIRE_BASE64_H

#include "core/buf.h"

#define BASE64_DECODED(n) ((n) / 4 * 3)       /* bytes at most of n letters */
#define BASE64_ENCODED(n) (((n) + 2) / 3 * 4) /* letters of n bytes */

/* Into `out`, which has room for BASE64_DECODED(text.len). How many bytes; 0: it isn't base64. */
size_t base64_decode(struct slice text, uint8_t *out);
void base64_add(struct buf *b, struct slice bytes);

#endif
