/* Kernels for ARM's dot products, compiled in where the compiler may use them (-march=armv8.2-a+dotprod, -mcpu=native):
 * one instruction multiplies and adds up 16 pairs of codes and weights. */
#include "apot_internal.h"

#ifdef APOT_NEON

#include <arm_neon.h>
#include <string.h>

#define APOT_TARGET
#include "apot_common.h"

#define ROWS 4 /* so many fit into registers */

#ifdef __ARM_FEATURE_MATMUL_INT8
#define CODE_OFFSET 0
#else
/* Both factors have signs: codes, which have none, are multiplied as codes - 128, and 128 times the weights is added. */
#define CODE_OFFSET 128
#endif

APOT_INLINE int32x4_t dot(int32x4_t sum, uint8x16_t codes, int8x16_t weights) {
#ifdef __ARM_FEATURE_MATMUL_INT8
    return vusdotq_s32(sum, codes, weights);
#else
    return vdotq_s32(sum, vreinterpretq_s8_u8(codes), weights);
#endif
}

APOT_INLINE uint8x16_t four_of(const uint8_t *codes) {
    uint32_t four;
    memcpy(&four, codes, 4);
    return veorq_u8(vreinterpretq_u8_u32(vdupq_n_u32(four)), vdupq_n_u8(CODE_OFFSET));
}

/* Sums of `rows` positions and of one block of four times `vectors` outputs, both constants where this is called. */
APOT_INLINE void tile(const apot_reading *reading, int32_t rows, int32_t vectors, int32_t first, const int8_t *weights,
                      int32_t *sums) {
    int32x4_t acc[ROWS][4], all[4]; /* all: of the weights */
    const int8_t *line = weights + reading->corner * 4 * vectors;
    for (int32_t v = 0; v < vectors; v++) {
        all[v] = vdupq_n_s32(0);
        for (int32_t r = 0; r < rows; r++) acc[r][v] = vdupq_n_s32(0);
    }
    for (int32_t y = 0; y < reading->taps_y; y++, line += reading->jump_y * 4 * vectors)
        for (int32_t x = 0; x < reading->taps_x; x++) {
            ptrdiff_t offset = y * reading->step_y + x * reading->step_x;
            const int8_t *w = line + x * reading->jump_x * 4 * vectors;
            const uint8_t *a[ROWS];
            for (int32_t r = 0; r < rows; r++) a[r] = reading->rows[first + r] + offset;
            for (int32_t k = 0; k < 4 * reading->quads; k += 4, w += 16 * vectors) {
                int8x16_t of_outputs[4];
                for (int32_t v = 0; v < vectors; v++) {
                    of_outputs[v] = vld1q_s8(w + 16 * v);
                    if (CODE_OFFSET) all[v] = vdotq_s32(all[v], vdupq_n_s8(1), of_outputs[v]);
                }
                for (int32_t r = 0; r < rows; r++) {
                    uint8x16_t codes = four_of(a[r] + k);
                    for (int32_t v = 0; v < vectors; v++) acc[r][v] = dot(acc[r][v], codes, of_outputs[v]);
                }
            }
        }
    for (int32_t r = 0; r < rows; r++)
        for (int32_t v = 0; v < vectors; v++)
            vst1q_s32(sums + (first + r) * APOT_BLOCK + 4 * v, vmlaq_n_s32(acc[r][v], all[v], CODE_OFFSET));
}

static void block_sums(const apot_reading *reading, const int8_t *weights, int32_t *out) {
    int32_t r = 0;
    for (; r + 4 <= reading->count; r += 4) tile(reading, 4, 4, r, weights, out);
    for (; r + 2 <= reading->count; r += 2) tile(reading, 2, 4, r, weights, out);
    for (; r < reading->count; r++) tile(reading, 1, 4, r, weights, out);
}

static void sums(const apot_reading *reading, const apot_convolution *convolution, int32_t blocks, int32_t width,
                 int32_t *out) {
    (void)convolution;
    if (width == APOT_BLOCK)
        for (int32_t b = 0; b < blocks; b++)
            block_sums(reading, reading->weights + b * reading->block * APOT_BLOCK, out + b * reading->count * APOT_BLOCK);
    else
        for (int32_t r = 0; r < reading->count; r++) switch (width) {
                case 4: tile(reading, 1, 1, r, reading->weights, out); break;
                case 8: tile(reading, 1, 2, r, reading->weights, out); break;
                default: tile(reading, 1, 3, r, reading->weights, out);
            }
}

static void head(const apot_head *parameters, const apot_sum_value *x, apot_logit *logits) {
    apot_head_body(parameters, x, logits);
}

const apot_kernels apot_neon = APOT_KERNELS("NEON dot products", APOT_ROWS *APOT_BLOCKS);

#else
typedef int apot_not_empty;
#endif
