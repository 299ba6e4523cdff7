/* What becomes of sums, with products of pairs of 16 bits. */
#ifndef APOT_FINISH_H
#define APOT_FINISH_H

#include "apot_pairs.h"

#ifdef APOT_PAIRS

#define APOT_SHORTS (APOT_BYTES / 2)
#define APOT_COMPARED 4 /* so many rows are compared at a time */

typedef uint32_t apot_bits_vector __attribute__((vector_size(APOT_BYTES)));

APOT_INLINE apot_sums_vector sums_at(const int32_t *sums) {
    apot_sums_vector found;
    memcpy(&found, sums, sizeof found);
    return found;
}

/* (sum * multiplier + bias) >> (15 + shift), of numbers of up to 46 bits: the sum is `low` + 2^15 `high`, and so are the
 * multiplier and the bias, whose `low` are in parts[0] and whose `high` are in parts[1] and parts[2]. Only the product of
 * the `low` and what is added to it have bits that are shifted out at first. */
APOT_INLINE apot_sums_vector rescaled(apot_sums_vector sum, const apot_sums_vector *parts, int32_t shift) {
    apot_sums_vector low = sum & 0x7fff, high = sum >> 15;
    apot_short_vector high_part = (apot_short_vector)(parts[1] & 0xffff);
    apot_bits_vector product = (apot_bits_vector)pair_products((apot_short_vector)high, high_part) << 15;
    product += (apot_bits_vector)pair_products((apot_short_vector)(low | high << 16), (apot_short_vector)parts[1]);
    product += (apot_bits_vector)(pair_products((apot_short_vector)(low | 0x10000), (apot_short_vector)parts[0]) >> 15);
    return (apot_sums_vector)(product + (apot_bits_vector)parts[2]) >> shift;
}

/* Within the bounds of the stream, of which the upper one is mostly that of 16 bits. */
APOT_INLINE apot_short_vector bounded(apot_short_vector x, int32_t lowest) {
    apot_short_vector largest = (apot_short_vector){0} + APOT_LARGEST_VALUE, is_more = x > largest;
    if (APOT_LARGEST_VALUE < INT16_MAX) x = (x & ~is_more) | (largest & is_more);
    return larger(x, (apot_short_vector){0} + (int16_t)lowest);
}

static void rescale(const apot_convolution *c, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                    const int32_t *sums, uint8_t *const *out) {
    const int32_t *from = c->parts + lane * APOT_PARTS, shift = from[3 * width];
    if (shift < 0 || width < APOT_BLOCK || kept < APOT_BLOCK || sizeof(apot_stream) == 1) {
        apot_rescale_body(c, lane, kept, rows, sums, out);
        return;
    }
    for (int32_t o = 0; o < APOT_BLOCK; o += APOT_SHORTS) {
        apot_sums_vector parts[2][3];
        for (int32_t v = 0; v < 2; v++)
            for (int32_t p = 0; p < 3; p++) parts[v][p] = sums_at(from + p * APOT_BLOCK + o + v * APOT_SHORTS / 2);
        for (int32_t r = 0; r < rows; r++) {
            const int32_t *x = sums + r * APOT_BLOCK + o;
            apot_short_vector y = saturated(rescaled(sums_at(x), parts[0], shift),
                                            rescaled(sums_at(x + APOT_SHORTS / 2), parts[1], shift));
            y = bounded(y, c->lowest);
            memcpy(out[r] + o * 2, &y, sizeof y);
        }
    }
}

/* Codes of as many outputs as 16 bits fit into a vector, at `rows` positions, a constant where this is called: from one code
 * to the one before, what it differs by is added where its threshold is not reached. */
APOT_INLINE void compare_rows(const apot_convolution *c, const int16_t *thresholds, const apot_short_vector *step,
                              const apot_sums_vector *sign, int32_t rows, const int32_t *sums, uint8_t *const *out,
                              int32_t first) {
    apot_short_vector x[APOT_COMPARED], code[APOT_COMPARED];
    for (int32_t r = 0; r < rows; r++) {
        const int32_t *from = sums + r * APOT_BLOCK + first;
        x[r] = saturated((sums_at(from) ^ sign[0]) - sign[0], (sums_at(from + APOT_SHORTS / 2) ^ sign[1]) - sign[1]);
        code[r] = (apot_short_vector){0} + c->levels.codes[c->levels.count];
    }
    for (int32_t t = 0; t < c->levels.count; t++) {
        apot_short_vector threshold;
        memcpy(&threshold, thresholds + t * APOT_BLOCK + first, sizeof threshold);
        for (int32_t r = 0; r < rows; r++) code[r] -= (threshold > x[r]) & step[t];
    }
    for (int32_t r = 0; r < rows; r++) store_bytes(out[r] + first, code[r]);
}

static void compare(const apot_convolution *c, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                    const int32_t *sums, uint8_t *const *out) {
    if (!c->thresholds_16 || width < APOT_BLOCK || kept < APOT_BLOCK || c->levels.count > APOT_MANY) {
        apot_compare_body(c, lane, width, kept, rows, sums, out);
        return;
    }
    const int16_t *thresholds = c->thresholds_16 + lane * c->levels.count;
    apot_short_vector step[APOT_MANY];
    for (int32_t t = 0; t < c->levels.count; t++)
        step[t] = (apot_short_vector){0} + (int16_t)(c->levels.codes[t + 1] - c->levels.codes[t]);
    for (int32_t o = 0; o < APOT_BLOCK; o += APOT_SHORTS) {
        int32_t signs[APOT_SHORTS], r = 0;
        for (int32_t i = 0; i < APOT_SHORTS; i++) signs[i] = c->signs[lane + o + i];
        apot_sums_vector sign[2] = {sums_at(signs), sums_at(signs + APOT_SHORTS / 2)};
        for (; r + APOT_COMPARED <= rows; r += APOT_COMPARED)
            compare_rows(c, thresholds, step, sign, APOT_COMPARED, sums + r * APOT_BLOCK, out + r, o);
        for (; r < rows; r++) compare_rows(c, thresholds, step, sign, 1, sums + r * APOT_BLOCK, out + r, o);
    }
}

/* As apot_add_body. */
static void add(const apot_stream_value *x, const apot_stream_value *y, apot_stream_value *out, const apot_flat *flat) {
    int32_t start = 0;
    for (; sizeof(apot_stream) == 2 && start + APOT_SHORTS <= flat->length; start += APOT_SHORTS) {
        apot_short_vector a, b = {0};
        memcpy(&a, x + start, sizeof a);
        if (y) memcpy(&b, y + start, sizeof b);
        a = bounded(saturated_sum(a, b), flat->lowest);
        memcpy(out + start, &a, sizeof a);
    }
    apot_flat rest = {flat->length - start, flat->lowest};
    apot_add_body(x + start, y ? y + start : y, out + start, &rest);
}

#endif
#endif
