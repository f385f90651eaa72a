#include "ring/hash.h"
#include <assert.h>
#include <endian.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

static inline uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

static inline uint32_t rotl32(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static inline uint64_t rotl64(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

/* The last, partial block of a key: its bytes, then zeros. For the hashes whose tail handling says
 * the same as a block filled up with zeros. n < size; p may be NULL when n is 0. */
static void pad_block(uint8_t *block, size_t size, const uint8_t *p, size_t n)
{
    memset(block, 0, size);
    if (n > 0)
        memcpy(block, p, n);
}

/* Bob Jenkins, "Hash functions for hash tables", Dr. Dobb's 1997. Netflix reads the key through a
 * plain char, which is signed on x86-64: bytes from 0x80 on are added as negative numbers. */
static uint32_t one_at_a_time(struct slice key)
{
    uint32_t h = 0;
    for (size_t i = 0; i < key.len; i++) {
        h += (uint32_t)(int32_t)(int8_t)key.ptr[i];
        h += h << 10;
        h ^= h >> 6;
    }
    h += h << 3;
    h ^= h >> 11;
    return h + (h << 15);
}

/* RFC 1321; the token is the first four bytes of the digest, little-endian. */
static uint32_t md5(struct slice key)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (!EVP_Digest(key.ptr, key.len, digest, NULL, EVP_md5(), NULL)) {
        fputs("hash: md5: OpenSSL refuses to compute an MD5 on this machine\n", stderr);
        abort();
    }
    return load32(digest);
}

/* CRC-16/XMODEM (polynomial 0x1021), but the register is 32 bits wide and what leaves the low 16 is
 * never cut off, so that up to four bytes' worth of it ends up in the token. */
static uint32_t crc16(struct slice key)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < key.len; i++) {
        uint32_t x = (crc >> 8 ^ key.ptr[i]) & 0xff;
        /* the remainder of x * 2^16, which others keep in a table of 256 */
        x ^= x >> 4;
        crc = crc << 8 ^ ((x << 12 ^ x << 5 ^ x) & 0xffff);
    }
    return crc;
}

/* The CRC-32 of Ethernet and zip. */
static uint32_t crc32a(struct slice key)
{
    return key.len > 0 ? (uint32_t)crc32_z(0, key.ptr, key.len) : 0;
}

/* Libmemcached's: 15 bits out of the upper half of the CRC, so that tokens end at 32767. */
static uint32_t crc32_memcached(struct slice key)
{
    return crc32a(key) >> 16 & 0x7fff;
}

/* Fowler, Noll and Vo, draft-eastlake-fnv. The 1 multiplies before it mixes a byte in, the 1a
 * afterwards. The 64-bit tokens are the low half of the sum, and a product's low half needs only
 * the low halves of its factors: all four are computed in 32 bits. */
#define FNV_32_INIT      0x811c9dc5U
#define FNV_32_PRIME     0x01000193U
#define FNV_64_INIT_LOW  0x84222325U
#define FNV_64_PRIME_LOW 0x000001b3U

static inline uint32_t fnv1(struct slice key, uint32_t h, uint32_t prime)
{
    for (size_t i = 0; i < key.len; i++)
        h = h * prime ^ key.ptr[i];
    return h;
}

static inline uint32_t fnv1a(struct slice key, uint32_t h, uint32_t prime)
{
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ key.ptr[i]) * prime;
    return h;
}

static uint32_t fnv1_64(struct slice key)
{
    return fnv1(key, FNV_64_INIT_LOW, FNV_64_PRIME_LOW);
}

static uint32_t fnv1a_64(struct slice key)
{
    return fnv1a(key, FNV_64_INIT_LOW, FNV_64_PRIME_LOW);
}

static uint32_t fnv1_32(struct slice key)
{
    return fnv1(key, FNV_32_INIT, FNV_32_PRIME);
}

static uint32_t fnv1a_32(struct slice key)
{
    return fnv1a(key, FNV_32_INIT, FNV_32_PRIME);
}

static uint32_t hsieh_tail(uint32_t h, const uint8_t *p, size_t n)
{
    if (n == 1) {
        h += p[0];
        h ^= h << 10;
        return h + (h >> 1);
    }
    h += (uint32_t)p[0] | (uint32_t)p[1] << 8;
    if (n == 2) {
        h ^= h << 11;
        return h + (h >> 17);
    }
    h ^= h << 16;
    h ^= (uint32_t)p[2] << 18;
    return h + (h >> 11);
}

/* Paul Hsieh's SuperFastHash (2004), but it starts from 0 instead of the length, and an odd byte at
 * the end is unsigned. */
static uint32_t hsieh(struct slice key)
{
    uint32_t h = 0;
    const uint8_t *p = key.ptr;
    size_t left = key.len;
    for (; left >= 4; left -= 4, p += 4) {
        uint32_t v = load32(p);
        h += v & 0xffff;
        h = h << 16 ^ v >> 16 << 11 ^ h;
        h += h >> 11;
    }
    if (left > 0)
        h = hsieh_tail(h, p, left);
    h ^= h << 3;
    h += h >> 5;
    h ^= h << 4;
    h += h >> 17;
    h ^= h << 25;
    return h + (h >> 6);
}

/* Austin Appleby's MurmurHash2 with libmemcached's seed, which depends on the length. */
static uint32_t murmur(struct slice key)
{
    const uint32_t m = 0x5bd1e995;
    uint32_t length = (uint32_t)key.len;
    uint32_t h = 0xdeadbeefU * length ^ length;
    const uint8_t *p = key.ptr;
    size_t left = key.len;
    for (; left >= 4; left -= 4, p += 4) {
        uint32_t k = load32(p) * m;
        h = h * m ^ (k ^ k >> 24) * m;
    }
    if (left > 0) {
        uint8_t tail[4];
        pad_block(tail, sizeof(tail), p, left);
        h = (h ^ load32(tail)) * m;
    }
    h = (h ^ h >> 13) * m;
    return h ^ h >> 15;
}

static void jenkins_mix(uint32_t s[3])
{
    static const uint8_t rot[6] = {4, 6, 8, 16, 19, 4};
    for (unsigned i = 0; i < 6; i++) {
        uint32_t *a = &s[i % 3], *b = &s[(i + 1) % 3], *c = &s[(i + 2) % 3];
        *a = (*a - *c) ^ rotl32(*c, rot[i]);
        *c += *b;
    }
}

static uint32_t jenkins_final(uint32_t s[3])
{
    static const uint8_t rot[7] = {14, 11, 25, 16, 4, 14, 24};
    for (unsigned i = 0; i < 7; i++) {
        uint32_t *x = &s[(i + 2) % 3], y = s[(i + 1) % 3];
        *x = (*x ^ y) - rotl32(y, rot[i]);
    }
    return s[2];
}

/* Bob Jenkins' lookup3 (2006), hashlittle() with 13 for its initval. As there, a last block of 1 to
 * 12 bytes isn't mixed but finished, and a key without bytes isn't even that. */
static uint32_t jenkins(struct slice key)
{
    uint32_t start = 0xdeadbeefU + (uint32_t)key.len + 13;
    uint32_t s[3] = {start, start, start};
    const uint8_t *p = key.ptr;
    size_t left = key.len;
    if (left == 0)
        return start;
    for (; left > 12; left -= 12, p += 12) {
        for (unsigned i = 0; i < 3; i++)
            s[i] += load32(p + 4 * i);
        jenkins_mix(s);
    }
    uint8_t tail[13];
    pad_block(tail, sizeof(tail), p, left);
    for (unsigned i = 0; i < 3; i++)
        s[i] += load32(tail + 4 * i);
    return jenkins_final(s);
}

#define MURMUR3_SEED 0xc0a1e5ceU

/* One lane of a block of MurmurHash3_x86_128, scrambled before it goes into the state. */
static inline uint32_t murmur3_lane32(const uint8_t *block, unsigned lane)
{
    static const uint32_t c[4] = {0x239b961b, 0xab0e9789, 0x38b34ae5, 0xa1e38b93};
    return rotl32(load32(block + 4 * lane) * c[lane], 15 + lane) * c[(lane + 1) % 4];
}

static inline uint32_t murmur3_mix32(uint32_t h)
{
    h = (h ^ h >> 16) * 0x85ebca6b;
    h = (h ^ h >> 13) * 0xc2b2ae35;
    return h ^ h >> 16;
}

/* Austin Appleby's MurmurHash3_x86_128; the token is the first 32 bits. */
static uint32_t murmur3(struct slice key)
{
    static const uint32_t add[4] = {0x561ccd1b, 0x0bcaa747, 0x96cd1c35, 0x32ac3b17};
    uint32_t h[4] = {MURMUR3_SEED, MURMUR3_SEED, MURMUR3_SEED, MURMUR3_SEED};
    const uint8_t *p = key.ptr;
    size_t left = key.len;
    for (; left >= 16; left -= 16, p += 16) {
        for (unsigned i = 0; i < 4; i++) {
            h[i] = rotl32(h[i] ^ murmur3_lane32(p, i), 19 - 2 * i) + h[(i + 1) % 4];
            h[i] = h[i] * 5 + add[i];
        }
    }
    uint8_t tail[16];
    pad_block(tail, sizeof(tail), p, left);
    uint32_t sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        h[i] ^= murmur3_lane32(tail, i) ^ (uint32_t)key.len;
        sum += h[i];
    }
    /* the first word gets the sum of the others, each of which gets the first before it is mixed */
    uint32_t token = murmur3_mix32(sum);
    for (unsigned i = 1; i < 4; i++)
        token += murmur3_mix32(h[i] + sum);
    return token;
}

static inline uint64_t murmur3_lane64(const uint8_t *block, unsigned lane)
{
    static const uint64_t c[2] = {0x87c37b91114253d5, 0x4cf5ad432745937f};
    return rotl64(load64(block + 8 * lane) * c[lane], 31 + 2 * lane) * c[1 - lane];
}

static inline uint64_t murmur3_mix64(uint64_t h)
{
    h = (h ^ h >> 33) * 0xff51afd7ed558ccd;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53;
    return h ^ h >> 33;
}

/* Austin Appleby's MurmurHash3_x64_128; the token is the low half of the first 64 bits. */
static uint32_t murmur3_x64_64(struct slice key)
{
    uint64_t h1 = MURMUR3_SEED, h2 = MURMUR3_SEED;
    const uint8_t *p = key.ptr;
    size_t left = key.len;
    for (; left >= 16; left -= 16, p += 16) {
        h1 = (rotl64(h1 ^ murmur3_lane64(p, 0), 27) + h2) * 5 + 0x52dce729;
        h2 = (rotl64(h2 ^ murmur3_lane64(p, 1), 31) + h1) * 5 + 0x38495ab5;
    }
    uint8_t tail[16];
    pad_block(tail, sizeof(tail), p, left);
    h1 ^= murmur3_lane64(tail, 0) ^ key.len;
    h2 ^= murmur3_lane64(tail, 1) ^ key.len;
    h1 += h2;
    h2 += h1;
    return (uint32_t)(murmur3_mix64(h1) + murmur3_mix64(h2));
}

static const struct {
    const char *name;
    uint32_t (*token)(struct slice key);
} HASHES[HASH_KINDS] = {
    [HASH_ONE_AT_A_TIME] = {"one_at_a_time", one_at_a_time},
    [HASH_MD5] = {"md5", md5},
    [HASH_CRC16] = {"crc16", crc16},
    [HASH_CRC32] = {"crc32", crc32_memcached},
    [HASH_CRC32A] = {"crc32a", crc32a},
    [HASH_FNV1_64] = {"fnv1_64", fnv1_64},
    [HASH_FNV1A_64] = {"fnv1a_64", fnv1a_64},
    [HASH_FNV1_32] = {"fnv1_32", fnv1_32},
    [HASH_FNV1A_32] = {"fnv1a_32", fnv1a_32},
    [HASH_HSIEH] = {"hsieh", hsieh},
    [HASH_MURMUR] = {"murmur", murmur},
    [HASH_JENKINS] = {"jenkins", jenkins},
    [HASH_MURMUR3] = {"murmur3", murmur3},
    [HASH_MURMUR3_X64_64] = {"murmur3_x64_64", murmur3_x64_64},
};

bool hash_parse(const char *name, enum hash_kind *out)
{
    for (unsigned i = 0; i < HASH_KINDS; i++) {
        if (strcmp(HASHES[i].name, name) == 0) {
            *out = (enum hash_kind)i;
            return true;
        }
    }
    return false;
}

const char *hash_name(enum hash_kind kind)
{
    assert(kind < HASH_KINDS);
    return HASHES[kind].name;
}

uint32_t hash_token(enum hash_kind kind, struct slice key)
{
    assert(kind < HASH_KINDS);
    return HASHES[kind].token(key);
}

struct slice hash_tagged(struct slice key, const char *tag)
{
    if (tag[0] == '\0' || key.len == 0)
        return key;
    const uint8_t *end = key.ptr + key.len;
    const uint8_t *open = memchr(key.ptr, tag[0], key.len);
    if (!open)
        return key;
    const uint8_t *first = open + 1;
    const uint8_t *close = memchr(first, tag[1], (size_t)(end - first));
    if (!close || close == first)
        return key;
    return slice_of(first, (size_t)(close - first));
}
