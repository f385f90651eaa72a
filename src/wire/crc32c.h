/* wire/crc32c: the CRC of frames and of segment headers (Castagnoli; RFC 3720, B.4). Start with 0;
 * to continue over several pieces, pass on what the piece before gave. Pure, any thread. */
#ifndef WIRE_CRC32C_H
#define WIRE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* By the processor's own instruction where it has one (SSE 4.2). */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* The same without it: for processors that don't have it, and for tests. */
uint32_t crc32c_software(uint32_t crc, const void *data, size_t len);

#endif
