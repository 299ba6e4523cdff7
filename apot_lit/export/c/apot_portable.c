/* Kernels in plain C. */
#include "apot_internal.h"

#ifndef APOT_SHIFT_ADD

#define APOT_TARGET
#include "apot_common.h"

/* Sums of one position and one block: products are added up in 16 bits as long as they fit, then in 32. */
APOT_INLINE void narrow_sums(const apot_reading *reading, const uint8_t *row, const int8_t *weights, int32_t width,
                             int32_t *sums) {
    int16_t few[4 * APOT_BLOCK] = {0};
    int32_t left = 2 * reading->narrow;
    const int8_t *line = weights + reading->corner * width;
    for (int32_t y = 0; y < reading->taps_y; y++, line += reading->jump_y * width)
        for (int32_t x = 0; x < reading->taps_x; x++) {
            const uint8_t *a = row + y * reading->step_y + x * reading->step_x;
            const int8_t *w = line + x * reading->jump_x * width;
            for (int32_t k = 0; k < reading->quads; k++, a += 4, w += 4 * width) {
                int16_t a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
                for (int32_t o = 0; o < 4 * width; o += 4) {
                    few[o] = (int16_t)(few[o] + a0 * w[o]);
                    few[o + 1] = (int16_t)(few[o + 1] + a1 * w[o + 1]);
                    few[o + 2] = (int16_t)(few[o + 2] + a2 * w[o + 2]);
                    few[o + 3] = (int16_t)(few[o + 3] + a3 * w[o + 3]);
                }
                if (--left) continue;
                for (int32_t o = 0; o < width; o++) {
                    sums[o] += few[4 * o] + few[4 * o + 1] + few[4 * o + 2] + few[4 * o + 3];
                    few[4 * o] = few[4 * o + 1] = few[4 * o + 2] = few[4 * o + 3] = 0;
                }
                left = 2 * reading->narrow;
            }
        }
    for (int32_t o = 0; o < width; o++) sums[o] += few[4 * o] + few[4 * o + 1] + few[4 * o + 2] + few[4 * o + 3];
}

APOT_INLINE void wide_sums(const apot_reading *reading, const uint8_t *row, const int8_t *weights, int32_t width,
                           int32_t *sums) {
    const int8_t *line = weights + reading->corner * width;
    for (int32_t y = 0; y < reading->taps_y; y++, line += reading->jump_y * width)
        for (int32_t x = 0; x < reading->taps_x; x++) {
            const uint8_t *a = row + y * reading->step_y + x * reading->step_x;
            const int8_t *w = line + x * reading->jump_x * width;
            for (int32_t k = 0; k < reading->quads; k++, a += 4, w += 4 * width)
                for (int32_t o = 0; o < width; o++)
                    sums[o] += a[0] * w[4 * o] + a[1] * w[4 * o + 1] + a[2] * w[4 * o + 2] + a[3] * w[4 * o + 3];
        }
}

APOT_INLINE void block_sums(const apot_reading *reading, const uint8_t *row, const int8_t *weights, int32_t width,
                            int32_t *sums) {
    for (int32_t o = 0; o < width; o++) sums[o] = 0;
    if (reading->narrow)
        narrow_sums(reading, row, weights, width, sums);
    else
        wide_sums(reading, row, weights, width, sums);
}

static void sums(const apot_reading *reading, const apot_convolution *convolution, int32_t blocks, int32_t width,
                 int32_t *out) {
    (void)convolution;
    for (int32_t b = 0; b < blocks; b++)
        for (int32_t r = 0; r < reading->count; r++) {
            const int8_t *weights = reading->weights + b * reading->block * APOT_BLOCK;
            int32_t *block = out + (b * reading->count + r) * APOT_BLOCK;
            if (width == APOT_BLOCK)
                block_sums(reading, reading->rows[r], weights, APOT_BLOCK, block);
            else
                block_sums(reading, reading->rows[r], weights, width, block);
        }
}

static void head(const apot_head *parameters, const apot_sum_value *x, apot_logit *logits) {
    apot_head_body(parameters, x, logits);
}

const apot_kernels apot_portable = APOT_KERNELS("portable", APOT_ROWS * APOT_BLOCKS);

#else
typedef int apot_not_empty;
#endif
