/* Kernels for AVX2: products of codes and weights are added up in 16 bits as long as they are proved to fit. */
#include "apot_internal.h"

#ifdef APOT_X86

#include <immintrin.h>
#include <string.h>

#define APOT_TARGET __attribute__((target("avx2")))
#define APOT_VECTOR static inline __attribute__((always_inline, target("avx2")))
#define APOT_OWN_LOOPS
#include "apot_avx2_steps.h"
#include "apot_common.h"

#define ROWS 4 /* so many fit into registers */

APOT_VECTOR __m256i four_of(const uint8_t *a) {
    int32_t four;
    memcpy(&four, a, 4);
    return _mm256_set1_epi32(four);
}

/* Four weights each of up to 16 outputs. */
APOT_VECTOR void load_weights(const int8_t *w, int32_t width, __m256i mask_0, __m256i mask_1, __m256i v[2]) {
    if (width == APOT_BLOCK) {
        v[0] = _mm256_loadu_si256((const __m256i *)(const void *)w);
        v[1] = _mm256_loadu_si256((const __m256i *)(const void *)(w + 32));
    } else {
        v[0] = _mm256_maskload_epi32((const int *)(const void *)w, mask_0);
        v[1] = _mm256_maskload_epi32((const int *)(const void *)(w + (width > 8 ? 32 : 0)), mask_1);
    }
}

/* Adds sums of 16 bits, of which there are two for each output, to those of 32. */
APOT_VECTOR void widen(__m256i few[ROWS][2], int32_t rows, int32_t *sums) {
#pragma GCC unroll 4
    for (int32_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int32_t h = 0; h < 2; h++) {
            __m256i *to = (__m256i *)(void *)(sums + r * APOT_BLOCK + 8 * h);
            __m256i pair = _mm256_madd_epi16(few[r][h], _mm256_set1_epi16(1));
            _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), pair));
            few[r][h] = _mm256_setzero_si256();
        }
}

/* Sums of `rows` positions, a constant where this is called, and one block. */
APOT_VECTOR void narrow_tile(const apot_reading *reading, int32_t rows, int32_t first, int32_t width,
                             const int8_t *weights, int32_t *sums) {
    __m256i few[ROWS][2];
    __m256i outputs = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    __m256i mask_0 = _mm256_cmpgt_epi32(_mm256_set1_epi32(width), outputs);
    __m256i mask_1 = _mm256_cmpgt_epi32(_mm256_set1_epi32(width - 8), outputs);
    const int8_t *line = weights + reading->corner * width;
    int32_t left = reading->narrow;
    for (int32_t r = 0; r < rows; r++) memset(sums + r * APOT_BLOCK, 0, APOT_BLOCK * sizeof *sums);
#pragma GCC unroll 4
    for (int32_t r = 0; r < rows; r++) few[r][0] = few[r][1] = _mm256_setzero_si256();
    for (int32_t y = 0; y < reading->taps_y; y++, line += reading->jump_y * width)
        for (int32_t x = 0; x < reading->taps_x; x++) {
            ptrdiff_t offset = y * reading->step_y + x * reading->step_x;
            const int8_t *w = line + x * reading->jump_x * width;
            const uint8_t *a[ROWS];
#pragma GCC unroll 4
            for (int32_t r = 0; r < rows; r++) a[r] = reading->rows[first + r] + offset;
            for (int32_t k = 0, end; k < reading->quads; k = end) {
                end = reading->quads - k < left ? reading->quads : k + left;
                left -= end - k;
                for (int32_t i = 4 * k; i < 4 * end; i += 4, w += 4 * width) {
                    __m256i v[2];
                    load_weights(w, width, mask_0, mask_1, v);
#pragma GCC unroll 4
                    for (int32_t r = 0; r < rows; r++) {
                        __m256i q = four_of(a[r] + i);
                        few[r][0] = _mm256_add_epi16(few[r][0], _mm256_maddubs_epi16(q, v[0]));
                        few[r][1] = _mm256_add_epi16(few[r][1], _mm256_maddubs_epi16(q, v[1]));
                    }
                }
                if (!left) {
                    widen(few, rows, sums);
                    left = reading->narrow;
                }
            }
        }
    widen(few, rows, sums);
}

/* The same where not even one product fits: bytes are taken apart into those of inputs 0 and 2 and those of inputs 1 and 3,
 * and pairs of products are added up in 32 bits. */
APOT_VECTOR void wide_tile(const apot_reading *reading, int32_t rows, int32_t first, int32_t width,
                           const int8_t *weights, int32_t *sums) {
    __m256i acc[ROWS][2];
    __m256i outputs = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    __m256i mask_0 = _mm256_cmpgt_epi32(_mm256_set1_epi32(width), outputs);
    __m256i mask_1 = _mm256_cmpgt_epi32(_mm256_set1_epi32(width - 8), outputs);
    const int8_t *line = weights + reading->corner * width;
#pragma GCC unroll 4
    for (int32_t r = 0; r < rows; r++) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
    for (int32_t y = 0; y < reading->taps_y; y++, line += reading->jump_y * width)
        for (int32_t x = 0; x < reading->taps_x; x++) {
            ptrdiff_t offset = y * reading->step_y + x * reading->step_x;
            const int8_t *w = line + x * reading->jump_x * width;
            for (int32_t i = 0; i < 4 * reading->quads; i += 4, w += 4 * width) {
                __m256i v[2], low[2];
                load_weights(w, width, mask_0, mask_1, v);
#pragma GCC unroll 2
                for (int32_t h = 0; h < 2; h++) {
                    low[h] = _mm256_srai_epi16(_mm256_slli_epi16(v[h], 8), 8);
                    v[h] = _mm256_srai_epi16(v[h], 8);
                }
#pragma GCC unroll 4
                for (int32_t r = 0; r < rows; r++) {
                    __m256i q = four_of(reading->rows[first + r] + offset + i);
                    __m256i even = _mm256_and_si256(q, _mm256_set1_epi16(255)), odd = _mm256_srli_epi16(q, 8);
#pragma GCC unroll 2
                    for (int32_t h = 0; h < 2; h++) {
                        acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_madd_epi16(even, low[h]));
                        acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_madd_epi16(odd, v[h]));
                    }
                }
            }
        }
#pragma GCC unroll 4
    for (int32_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int32_t h = 0; h < 2; h++)
            _mm256_storeu_si256((__m256i *)(void *)(sums + r * APOT_BLOCK + 8 * h), acc[r][h]);
}

/* Sums of one whole block: as many rows at a time as there are. */
#define EACH_ROW(tile)                                                                                            \
    do {                                                                                                          \
        int32_t r = 0;                                                                                            \
        for (; r + 4 <= reading->count; r += 4) tile(reading, 4, r, APOT_BLOCK, weights, out + r * APOT_BLOCK);   \
        for (; r + 2 <= reading->count; r += 2) tile(reading, 2, r, APOT_BLOCK, weights, out + r * APOT_BLOCK);   \
        for (; r < reading->count; r++) tile(reading, 1, r, APOT_BLOCK, weights, out + r * APOT_BLOCK);           \
    } while (0)

APOT_TARGET static void block_sums(const apot_reading *reading, const int8_t *weights, int32_t *out) {
    if (reading->narrow)
        EACH_ROW(narrow_tile);
    else
        EACH_ROW(wide_tile);
}

APOT_TARGET static void sums(const apot_reading *reading, const apot_convolution *convolution, int32_t blocks,
                             int32_t width, int32_t *out) {
    (void)convolution;
    if (width == APOT_BLOCK)
        for (int32_t b = 0; b < blocks; b++)
            block_sums(reading, reading->weights + b * reading->block * APOT_BLOCK, out + b * reading->count * APOT_BLOCK);
    else
        for (int32_t r = 0; r < reading->count; r++) {
            if (reading->narrow)
                narrow_tile(reading, 1, r, width, reading->weights, out + r * APOT_BLOCK);
            else
                wide_tile(reading, 1, r, width, reading->weights, out + r * APOT_BLOCK);
        }
}

APOT_TARGET static void head(const apot_head *parameters, const apot_sum_value *x, apot_logit *logits) {
    apot_head_body(parameters, x, logits);
}

const apot_kernels apot_avx2 = APOT_KERNELS("AVX2", APOT_ROWS * APOT_BLOCKS);

#else
typedef int apot_not_empty;
#endif
