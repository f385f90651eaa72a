/* wire/pack: a batch of frames as one frame, compressed, for links between datacenters.
 *
 *     | head, FRAME_PACKED | u32 raw size | LZ4 block: whole frames, one behind the other |
 *
 * Pure, any thread. */
#ifndef WIRE_PACK_H
#define WIRE_PACK_H

#include "core/error.h"
#include "wire/frame.h"

#define PACK_MIN     256u                             /* bytes; less isn't worth it */
#define PACK_RAW_MAX (FRAME_HEAD + FRAME_PAYLOAD_MAX) /* the largest frame by itself */

/* Appends the frames to `out` as one. False: nothing was appended, since they are few, too many, or
 * don't shrink; they go as they are. */
bool pack_add(struct buf *out, struct slice frames) MUST_USE;
/* Unpacks a frame's payload; nothing larger than PACK_RAW_MAX, nor than the payload can hold, is
 * allocated. What comes out may be any bytes. The caller has the reference; NULL: it isn't one. */
struct blob *pack_open(struct slice payload, struct error *e) MUST_USE;

#endif
