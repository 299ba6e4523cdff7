/* Sums of products of weights, which are unpacked eight at a time; for apot_micro.c. */
#ifndef APOT_MICRO_SUMS_H
#define APOT_MICRO_SUMS_H

#include <string.h>

#include "network.h"

#ifdef __GNUC__
#define APOT_ALIAS __attribute__((may_alias))
#define APOT_INLINE static inline __attribute__((always_inline))
#else
#define APOT_ALIAS
#define APOT_INLINE static inline
#endif
/* The arena is memory of no type, whatever the caller declared it as. */
typedef apot_stream APOT_ALIAS apot_stream_value;
typedef int32_t APOT_ALIAS apot_value;
typedef uint32_t APOT_ALIAS apot_pair; /* of two positions: that of the first in the low half */

/* The first of eight indices, if those of four bits or less are in one word. */
APOT_INLINE uint32_t word_of(const uint8_t *eight, uint32_t bits) {
    uint32_t word = 0;
    if (bits <= 4) memcpy(&word, eight, sizeof word);
#if defined __BYTE_ORDER__ && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

/* Weight `n` of eight. Everything but their content is a constant where this is called. */
APOT_INLINE int32_t weight_of(const uint8_t *eight, uint32_t word, const int8_t *levels, uint32_t bits, uint32_t n) {
    uint32_t mask = (1u << bits) - 1, bit = bits * n, shift = bit & 7;
    if (bits == 8) return levels ? levels[eight[n]] : (int8_t)eight[n];
    if (bits <= 4) return levels[word >> bit & mask];
    uint32_t both = eight[bit >> 3];
    if (shift + bits > 8) both |= (uint32_t)eight[(bit >> 3) + 1] << 8;
    return levels[both >> shift & mask];
}

#define EIGHT(use) use(0) use(1) use(2) use(3) use(4) use(5) use(6) use(7)

/* Sums of one output at two positions, whose products are added up within 16 bits as often as they fit. */
APOT_INLINE void narrow_sums(const apot_weights *w, const uint8_t *row, const apot_pair *patch, uint32_t bits,
                             int32_t sums[2]) {
    const int8_t *levels = w->levels;
    int32_t low = 0, high = 0;
    for (uint32_t left = w->eights, some; left; left -= some) {
        uint32_t both = 0;
        some = left < w->narrow ? left : w->narrow;
        for (uint32_t n = some; n; n--, row += bits, patch += 8) {
            uint32_t word = word_of(row, bits);
#define MULTIPLY(n) both += (uint32_t)weight_of(row, word, levels, bits, n) * patch[n];
            EIGHT(MULTIPLY)
#undef MULTIPLY
        }
        int32_t first = (int16_t)(both & 0xffff);
        low += first;
        high += (int16_t)((both - (uint32_t)first) >> 16);
    }
    sums[0] = low;
    sums[1] = high;
}

/* The same where not even eight products of 16 bits fit. */
APOT_INLINE void wide_sums(const apot_weights *w, const uint8_t *row, const apot_pair *patch, uint32_t bits,
                           int32_t sums[2]) {
    int32_t low = 0, high = 0;
    for (uint32_t left = w->eights; left; left--, row += bits, patch += 8) {
        uint32_t word = word_of(row, bits);
#define MULTIPLY(n)                                                       \
    {                                                                     \
        int32_t weight = weight_of(row, word, w->levels, bits, n);        \
        low += weight * (int32_t)(patch[n] & 0xffff);                     \
        high += weight * (int32_t)(patch[n] >> 16);                       \
    }
        EIGHT(MULTIPLY)
#undef MULTIPLY
    }
    sums[0] = low;
    sums[1] = high;
}

/* Sum of one output over values of 32 bits: pixels, or sums over positions. Partial sums fit as well: that is proved of the
 * sum of all magnitudes. */
APOT_INLINE apot_logit single_sum(const apot_weights *w, const uint8_t *row, const apot_value *patch, uint32_t bits) {
    apot_logit sum = 0;
    for (uint32_t left = w->eights; left; left--, row += bits, patch += 8) {
        uint32_t word = word_of(row, bits);
#define MULTIPLY(n) sum += (apot_logit)weight_of(row, word, w->levels, bits, n) * patch[n];
        EIGHT(MULTIPLY)
#undef MULTIPLY
    }
    return sum;
}

/* network.h names the bits that each kernel is needed for; no others are compiled. */
static void pair_sums(const apot_weights *w, uint32_t output, const apot_pair *patch, int32_t sums[2]) {
    const uint8_t *row = w->rows + output * w->eights * w->bits;
    switch (w->narrow ? w->bits : -w->bits) {
#define NARROW(bits) \
    case bits: narrow_sums(w, row, patch, bits, sums); break;
#define WIDE(bits) \
    case -bits: wide_sums(w, row, patch, bits, sums); break;
        APOT_NARROW_BITS(NARROW)
        APOT_WIDE_BITS(WIDE)
        default: break;
    }
}

static apot_logit sum_of(const apot_weights *w, uint32_t output, const apot_value *patch) {
    const uint8_t *row = w->rows + output * w->eights * w->bits;
    switch (w->bits) {
#define SINGLE(bits) \
    case bits: return single_sum(w, row, patch, bits);
        APOT_SINGLE_BITS(SINGLE)
        default: return 0;
    }
}

#endif
