/* From a key to its place on the ring: the 14 key hashes, and the part of a key that is hashed.
 *
 *     enum hash_kind kind;
 *     if (hash_parse("murmur", &kind))
 *         token = hash_token(kind, hash_tagged(key, "{}"));
 *
 * A token is an unsigned 32-bit number. A cluster that moves here keeps its owners, so the first
 * twelve hashes give what Netflix Dynomite 0.7 gives on x86-64, bit for bit, its departures from
 * the published algorithms included; hash.c names each one. Netflix's murmur3 computes nothing, so
 * ours is what its name promises. tests/vectors/hash_tokens.tsv holds the truth about all of them.
 *
 * Everything here is a pure function of its arguments, for any thread, and nothing but md5 (inside
 * OpenSSL) allocates. Bytes are read in little-endian order on every machine. */
#ifndef RING_HASH_H
#define RING_HASH_H

#include "core/buf.h"
#include <stdbool.h>
#include <stdint.h>

/* The order is Netflix's, ours is appended. The numbers aren't stored anywhere. */
enum hash_kind {
    HASH_ONE_AT_A_TIME,
    HASH_MD5,
    HASH_CRC16,
    HASH_CRC32,
    HASH_CRC32A,
    HASH_FNV1_64,
    HASH_FNV1A_64,
    HASH_FNV1_32,
    HASH_FNV1A_32,
    HASH_HSIEH,
    HASH_MURMUR,
    HASH_JENKINS,
    HASH_MURMUR3,
    HASH_MURMUR3_X64_64
};
/* How many there are; not an enumerator, so that a switch over the kinds needn't name it. */
#define HASH_KINDS (HASH_MURMUR3_X64_64 + 1)

/* The kind of that exact name ("murmur", "fnv1a_64", ...). False: there is none of that name. */
bool hash_parse(const char *name, enum hash_kind *out) MUST_USE;
/* The name as it stands in a configuration; a static string. */
const char *hash_name(enum hash_kind kind);

/* The token of a key. The empty key has one too, under every hash. Where OpenSSL refuses to compute
 * an MD5 (a FIPS policy), HASH_MD5 ends the process: any other token would send keys astray. */
uint32_t hash_token(enum hash_kind kind, struct slice key);

/* The part of the key to hash when hash_tag is set: what lies between the first tag[0] and the next
 * tag[1] behind it. The whole key when one of the two is missing, nothing lies between them, or
 * `tag` is the empty string (no hash_tag). Else `tag` has two characters, which may be equal. The
 * result borrows the key's bytes.
 *
 * So does twemproxy. In Netflix Dynomite a key with an empty tag has no owner of its own: each
 * coordinator takes itself; with an owner, such a key is found again through any node. */
struct slice hash_tagged(struct slice key, const char *tag);

#endif
