/* In software eight bytes at a time by eight tables ("slicing by eight": Kounavis and Berry, "A
 * Systematic Approach to Building High Performance Software-Based CRC Generators", 2005). */
#include "wire/crc32c.h"
#include <endian.h>
#include <string.h>

#define CRC_POLY 0x82f63b78u /* 0x1edc6f41, reflected */

static uint32_t crc_table[8][256];

typedef uint32_t crc_fn(uint32_t crc, const uint8_t *p, size_t len);

static uint32_t crc_soft(uint32_t crc, const uint8_t *p, size_t len)
{
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        v = le64toh(v) ^ crc;
        crc = 0;
        for (unsigned i = 0; i < 8; i++)
            crc ^= crc_table[7 - i][(v >> (8 * i)) & 0xff];
    }
    while (len--)
        crc = crc_table[0][(crc ^ *p++) & 0xff] ^ (crc >> 8);
    return crc;
}

#ifdef __x86_64__
/* The instruction gives a result each cycle and has it ready after three: three streams at once,
 * each of LANE bytes. What came first is then carried past what follows it, by tables of what so
 * many zeros make of a CRC. */
#define LANE 32

static uint32_t past_one[4][256], past_two[4][256];

static void make_lanes(void)
{
    static const uint8_t zeros[2 * LANE];
    for (unsigned byte = 0; byte < 4; byte++)
        for (uint32_t v = 0; v < 256; v++) {
            past_one[byte][v] = crc_soft(v << (8 * byte), zeros, LANE);
            past_two[byte][v] = crc_soft(v << (8 * byte), zeros, 2 * LANE);
        }
}

static uint32_t carry(uint32_t t[4][256], uint64_t crc)
{
    return t[0][crc & 0xff] ^ t[1][crc >> 8 & 0xff] ^ t[2][crc >> 16 & 0xff] ^ t[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t crc_hard(uint32_t crc, const uint8_t *p,
                                                           size_t len)
{
    uint64_t c = crc;
    for (; len >= 3 * LANE; p += 3 * LANE, len -= 3 * LANE) {
        uint64_t v[3 * LANE / 8], c1 = 0, c2 = 0;
        memcpy(v, p, sizeof v);
        for (unsigned i = 0; i < LANE / 8; i++) {
            c = __builtin_ia32_crc32di(c, v[i]);
            c1 = __builtin_ia32_crc32di(c1, v[i + LANE / 8]);
            c2 = __builtin_ia32_crc32di(c2, v[i + 2 * LANE / 8]);
        }
        c = carry(past_two, c) ^ carry(past_one, c1) ^ c2;
    }
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        c = __builtin_ia32_crc32di(c, v);
    }
    uint32_t r = (uint32_t)c;
    if (len >= 4) {
        uint32_t v;
        memcpy(&v, p, 4);
        r = __builtin_ia32_crc32si(r, v);
        p += 4;
        len -= 4;
    }
    while (len--)
        r = __builtin_ia32_crc32qi(r, *p++);
    return r;
}
#endif

static crc_fn *crc_best = crc_soft;

/* Before main, and so before there are threads. */
__attribute__((constructor)) static void crc_init(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? (c >> 1) ^ CRC_POLY : c >> 1;
        crc_table[0][i] = c;
    }
    for (unsigned t = 1; t < 8; t++)
        for (unsigned i = 0; i < 256; i++) {
            uint32_t c = crc_table[t - 1][i];
            crc_table[t][i] = crc_table[0][c & 0xff] ^ (c >> 8);
        }
#ifdef __x86_64__
    make_lanes();
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2"))
        crc_best = crc_hard;
#endif
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    return ~crc_best(~crc, data, len);
}

uint32_t crc32c_software(uint32_t crc, const void *data, size_t len)
{
    return ~crc_soft(~crc, data, len);
}
