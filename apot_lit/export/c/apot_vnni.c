/* Kernels for AVX-512 with VNNI: one instruction multiplies and adds up 64 pairs of codes and weights. */
#include "apot_internal.h"

#ifdef APOT_X86

#include <immintrin.h>
#include <string.h>

#define APOT_FEATURES "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"
#define APOT_TARGET __attribute__((target(APOT_FEATURES)))
#define APOT_VECTOR static inline __attribute__((always_inline, target(APOT_FEATURES)))
#define APOT_OWN_LOOPS
#include "apot_common.h"
#include "apot_vnni_steps.h"

/* Sums of `rows` positions from `first` on and `blocks` blocks: both are constants where this is called. */
APOT_VECTOR void tile(const apot_reading *reading, int32_t rows, int32_t blocks, int32_t first, int32_t width,
                      const int8_t *weights, int32_t *sums) {
    __m512i acc[4][APOT_ROWS];
    __mmask16 mask = (__mmask16)((1u << width) - 1);
    ptrdiff_t block = reading->block * APOT_BLOCK;
    const int8_t *line = weights + reading->corner * width;
#pragma GCC unroll 8
    for (int32_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int32_t b = 0; b < blocks; b++) acc[b][r] = _mm512_setzero_si512();
    for (int32_t y = 0; y < reading->taps_y; y++, line += reading->jump_y * width)
        for (int32_t x = 0; x < reading->taps_x; x++) {
            ptrdiff_t offset = y * reading->step_y + x * reading->step_x;
            const int8_t *w = line + x * reading->jump_x * width;
            const uint8_t *a[APOT_ROWS];
#pragma GCC unroll 8
            for (int32_t r = 0; r < rows; r++) a[r] = reading->rows[first + r] + offset;
            for (int32_t k = 0; k < 4 * reading->quads; k += 4, w += 4 * width) {
                __m512i v[4];
#pragma GCC unroll 4
                for (int32_t b = 0; b < blocks; b++)
                    v[b] = width == APOT_BLOCK ? _mm512_loadu_si512(w + b * block) : _mm512_maskz_loadu_epi32(mask, w);
#pragma GCC unroll 8
                for (int32_t r = 0; r < rows; r++) {
                    int32_t four;
                    memcpy(&four, a[r] + k, 4);
                    __m512i q = _mm512_set1_epi32(four);
#pragma GCC unroll 4
                    for (int32_t b = 0; b < blocks; b++) acc[b][r] = _mm512_dpbusd_epi32(acc[b][r], q, v[b]);
                }
            }
        }
#pragma GCC unroll 8
    for (int32_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int32_t b = 0; b < blocks; b++)
            _mm512_storeu_si512(sums + (b * reading->count + first + r) * APOT_BLOCK, acc[b][r]);
}

#define TILE(rows, blocks)                                                                                        \
    APOT_TARGET static void tile_##rows##_##blocks(const apot_reading *reading, const int8_t *weights, int32_t *sums) { \
        tile(reading, rows, blocks, 0, APOT_BLOCK, weights, sums);                                                      \
    }
TILE(1, 1) TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1) TILE(7, 1) TILE(8, 1)
TILE(1, 2) TILE(2, 2) TILE(3, 2) TILE(4, 2) TILE(5, 2) TILE(6, 2) TILE(7, 2) TILE(8, 2)
TILE(1, 4) TILE(2, 4) TILE(3, 4) TILE(4, 4)

typedef void tile_function(const apot_reading *reading, const int8_t *weights, int32_t *sums);
static tile_function *const tiles[3][APOT_ROWS] = {
    {tile_1_1, tile_2_1, tile_3_1, tile_4_1, tile_5_1, tile_6_1, tile_7_1, tile_8_1},
    {tile_1_2, tile_2_2, tile_3_2, tile_4_2, tile_5_2, tile_6_2, tile_7_2, tile_8_2},
    {tile_1_4, tile_2_4, tile_3_4, tile_4_4},
};

APOT_TARGET static void sums(const apot_reading *reading, const apot_convolution *convolution, int32_t blocks,
                             int32_t width, int32_t *out) {
    (void)convolution;
    if (width < APOT_BLOCK) {
        for (int32_t r = 0; r < reading->count; r++) tile(reading, 1, 1, r, width, reading->weights, out);
        return;
    }
    const int8_t *weights = reading->weights;
    for (int32_t kind; blocks; blocks -= 1 << kind) {
        kind = blocks >= 4 && reading->count <= 4 ? 2 : blocks >= 2 ? 1 : 0;
        tiles[kind][reading->count - 1](reading, weights, out);
        weights += reading->block * (APOT_BLOCK << kind);
        out += reading->count * (APOT_BLOCK << kind);
    }
}

APOT_TARGET static void head(const apot_head *parameters, const apot_sum_value *x, apot_logit *logits) {
    apot_head_body(parameters, x, logits);
}

const apot_kernels apot_vnni = APOT_KERNELS("AVX-512 VNNI", 16);

#else
typedef int apot_not_empty;
#endif
