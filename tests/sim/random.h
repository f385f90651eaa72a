/* sim/random: chances from one seed, the same on every machine: xoshiro256** (Blackman, Vigna,
 * "Scrambled linear pseudorandom number generators", 2021), its state filled by splitmix64. Whoever
 * wants chances of his own, so that they don't shift when another draws more, makes a generator of
 * his own with chance_split. */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct chance {
    uint64_t s[4];
};

static inline uint64_t chance_mix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline void chance_seed(struct chance *c, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++)
        c->s[i] = chance_mix(&seed);
}

static inline uint64_t chance_rotl(uint64_t x, unsigned k)
{
    return (x << k) | (x >> (64 - k));
}

static inline uint64_t chance_next(struct chance *c)
{
    uint64_t *s = c->s, result = chance_rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = chance_rotl(s[3], 45);
    return result;
}

/* 0 .. n - 1; n isn't 0 and lies below 2^32 (the bias is below 2^-32). */
static inline uint64_t chance_below(struct chance *c, uint64_t n)
{
    return ((chance_next(c) >> 32) * n) >> 32;
}

/* lo .. hi, both included. */
static inline uint64_t chance_range(struct chance *c, uint64_t lo, uint64_t hi)
{
    return lo + chance_below(c, hi - lo + 1);
}

/* 0 <= x < 1 */
static inline double chance_unit(struct chance *c)
{
    return (double)(chance_next(c) >> 11) * 0x1p-53;
}

/* True with probability p. A p of 0 draws nothing. */
static inline bool chance_of(struct chance *c, double p)
{
    return p > 0 && chance_unit(c) < p;
}

static inline void chance_split(struct chance *from, struct chance *own)
{
    chance_seed(own, chance_next(from));
}

#endif
