/* Kernels in plain C: with the vectors of GNU C where the processor has some, value by value elsewhere. */
#include <string.h>

#include "apot_internal.h"

#ifndef APOT_SHIFT_ADD

#define APOT_TARGET
#include "apot_finish.h"

#include "apot_common.h"

#ifdef APOT_LANES

#ifdef APOT_PAIRS

/* Sums of `rows` positions, a constant where this is called, and one whole block. */
APOT_INLINE void lane_sums(const apot_reading *reading, int32_t rows, int32_t first, const apot_weight *weights,
                           int32_t *sums) {
    apot_sums_vector found[APOT_PAIR_ROWS][2 * APOT_VECTORS] = {{{0}}};
    const apot_weight *line = weights + reading->corner * APOT_BLOCK;
    for (int32_t y = 0; y < reading->taps_y; y++, line += reading->jump_y * APOT_BLOCK)
        for (int32_t x = 0; x < reading->taps_x; x++) {
            ptrdiff_t offset = y * reading->step_y + x * reading->step_x;
            const apot_weight *w = line + x * reading->jump_x * APOT_BLOCK;
            for (int32_t i = 0; i < 4 * reading->quads; i += 4, w += 4 * APOT_BLOCK) {
                apot_short_vector codes[APOT_PAIR_ROWS];
                for (int32_t r = 0; r < rows; r++) codes[r] = four_codes(reading->rows[first + r] + offset + i);
                for (int32_t v = 0; v < 2 * APOT_VECTORS; v++) {
                    apot_short_vector some = some_weights(w + APOT_BYTES / 2 * v);
                    for (int32_t r = 0; r < rows; r++) found[r][v] += pair_products(codes[r], some);
                }
            }
        }
    for (int32_t r = 0; r < rows; r++)
        for (int32_t v = 0; v < APOT_VECTORS; v++) {
            apot_sums_vector added = neighbours_added(found[r][2 * v], found[r][2 * v + 1]);
            memcpy(sums + r * APOT_BLOCK + v * APOT_BYTES / 4, &added, sizeof added);
        }
}

static void all_lane_sums(const apot_reading *reading, const apot_weight *weights, int32_t *sums) {
    int32_t r = 0;
    for (; APOT_PAIR_ROWS > 1 && r + APOT_PAIR_ROWS <= reading->count; r += APOT_PAIR_ROWS)
        lane_sums(reading, APOT_PAIR_ROWS, r, weights, sums + r * APOT_BLOCK);
    for (; r < reading->count; r++) lane_sums(reading, 1, r, weights, sums + r * APOT_BLOCK);
}

#else

/* In a vector of 16 bits, the bytes of four or eight outputs' weights are taken apart into those of inputs 0 and 2 and those
 * of inputs 1 and 3. */
typedef uint16_t apot_unsigned __attribute__((vector_size(APOT_BYTES)));
typedef uint32_t apot_four_times __attribute__((vector_size(APOT_BYTES)));

#define APOT_PART 15      /* of codes whose products don't fit into 16 bits, so much is multiplied at a time: 4 bits */
#define APOT_LARGEST 127  /* of weights */

/* Adds what was added up in 16 bits to the sums, `factor` times, and begins anew. */
APOT_INLINE void flush(apot_short_vector *few, int32_t factor, int32_t *sums) {
    for (int32_t v = 0; v < APOT_VECTORS; v++, sums += APOT_BYTES / 4) {
        apot_sums_vector sum, pair = (apot_sums_vector)few[v], high = pair >> 16;
        memcpy(&sum, sums, sizeof sum);
        sum += factor * ((apot_sums_vector)((apot_four_times)pair << 16) >> 16) + factor * high;
        memcpy(sums, &sum, sizeof sum);
        few[v] = (apot_short_vector){0};
    }
}

/* Sums of `rows` positions and one whole block, added up in 16 bits, two for each output; `parts` is 2 where codes are
 * taken in two parts of four bits. Both are constants where this is called. */
APOT_INLINE void lane_sums(const apot_reading *reading, int32_t rows, int32_t parts, int32_t first, const int8_t *weights,
                           int32_t *sums) {
    apot_short_vector few[2][2][APOT_VECTORS] = {{{{0}}}};
    const uint16_t mask = parts == 1 ? 0xff : APOT_PART;
    int32_t most = parts == 1 ? reading->narrow : INT16_MAX / (2 * APOT_PART * APOT_LARGEST), left = most;
    const int8_t *line = weights + reading->corner * APOT_BLOCK;
    for (int32_t y = 0; y < reading->taps_y; y++, line += reading->jump_y * APOT_BLOCK)
        for (int32_t x = 0; x < reading->taps_x; x++) {
            ptrdiff_t offset = y * reading->step_y + x * reading->step_x;
            const int8_t *w = line + x * reading->jump_x * APOT_BLOCK;
            for (int32_t k = 0, end; k < reading->quads; k = end) {
                end = reading->quads - k < left ? reading->quads : k + left;
                left -= end - k;
                for (int32_t i = 4 * k; i < 4 * end; i += 4, w += 4 * APOT_BLOCK) {
                    apot_short_vector even[2][2], odd[2][2];
                    for (int32_t r = 0; r < rows; r++) {
                        uint32_t four;
                        memcpy(&four, reading->rows[first + r] + offset + i, 4);
                        apot_unsigned codes = (apot_unsigned)((apot_four_times){0} + four);
                        even[r][0] = (apot_short_vector)(codes & mask);
                        odd[r][0] = (apot_short_vector)(codes >> 8 & mask);
                        if (parts == 1) continue;
                        even[r][1] = (apot_short_vector)(codes >> 4 & APOT_PART);
                        odd[r][1] = (apot_short_vector)(codes >> 12);
                    }
                    for (int32_t v = 0; v < APOT_VECTORS; v++) {
                        apot_unsigned bytes;
                        memcpy(&bytes, w + APOT_BYTES * v, APOT_BYTES);
                        apot_short_vector low = (apot_short_vector)(bytes << 8) >> 8, high = (apot_short_vector)bytes >> 8;
                        for (int32_t r = 0; r < rows; r++)
                            for (int32_t p = 0; p < parts; p++) few[r][p][v] += even[r][p] * low + odd[r][p] * high;
                    }
                }
                if (left) continue;
                for (int32_t r = 0; r < rows; r++)
                    for (int32_t p = 0; p < parts; p++) flush(few[r][p], p ? APOT_PART + 1 : 1, sums + r * APOT_BLOCK);
                left = most;
            }
        }
    for (int32_t r = 0; r < rows; r++)
        for (int32_t p = 0; p < parts; p++) flush(few[r][p], p ? APOT_PART + 1 : 1, sums + r * APOT_BLOCK);
}

static void all_lane_sums(const apot_reading *reading, const int8_t *weights, int32_t *sums) {
    int32_t r = 0;
    if (APOT_ROWS > 1 && reading->narrow)
        for (; r + 2 <= reading->count; r += 2) lane_sums(reading, 2, 1, r, weights, sums + r * APOT_BLOCK);
    for (; r < reading->count; r++) {
        if (reading->narrow)
            lane_sums(reading, 1, 1, r, weights, sums + r * APOT_BLOCK);
        else
            lane_sums(reading, 1, 2, r, weights, sums + r * APOT_BLOCK);
    }
}

#endif
#endif

/* Sums of one position and one block, value by value. */
APOT_INLINE void plain_sums(const apot_reading *reading, const uint8_t *row, const apot_weight *weights, int32_t width,
                            int32_t *sums) {
    const apot_weight *line = weights + reading->corner * width;
    for (int32_t y = 0; y < reading->taps_y; y++, line += reading->jump_y * width)
        for (int32_t x = 0; x < reading->taps_x; x++) {
            const uint8_t *a = row + y * reading->step_y + x * reading->step_x;
            const apot_weight *w = line + x * reading->jump_x * width;
            for (int32_t k = 0; k < reading->quads; k++, a += 4, w += 4 * width)
                for (int32_t o = 0; o < width; o++)
                    sums[o] += a[0] * w[4 * o] + a[1] * w[4 * o + 1] + a[2] * w[4 * o + 2] + a[3] * w[4 * o + 3];
        }
}

static void sums(const apot_reading *reading, const apot_convolution *convolution, int32_t blocks, int32_t width,
                 int32_t *out) {
    (void)convolution;
    memset(out, 0, (size_t)(blocks * reading->count * APOT_BLOCK) * sizeof *out);
    for (int32_t b = 0; b < blocks; b++) {
        const apot_weight *weights = reading->weights + b * reading->block * APOT_BLOCK;
        int32_t *block = out + b * reading->count * APOT_BLOCK;
#ifdef APOT_LANES
        if (width == APOT_BLOCK) {
            all_lane_sums(reading, weights, block);
            continue;
        }
#endif
        for (int32_t r = 0; r < reading->count; r++) {
            if (width == APOT_BLOCK)
                plain_sums(reading, reading->rows[r], weights, APOT_BLOCK, block + r * APOT_BLOCK);
            else
                plain_sums(reading, reading->rows[r], weights, width, block + r * APOT_BLOCK);
        }
    }
}

static void head(const apot_head *parameters, const apot_sum_value *x, apot_logit *logits) {
    apot_head_body(parameters, x, logits);
}

const apot_kernels apot_portable = APOT_KERNELS("portable", APOT_ROWS *APOT_BLOCKS);

#else
typedef int apot_not_empty;
#endif
