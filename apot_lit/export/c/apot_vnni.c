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

/* Sums are written and read whole: a processor waits where it reads as one what was written in parts. */
APOT_TARGET static void add_first(const apot_convolution *c, int32_t width, int32_t rows, const int32_t *const *first,
                                  int32_t *x) {
    __mmask16 mask = (__mmask16)((1u << width) - 1);
    __m512i factor = _mm512_set1_epi32(c->factor);
    for (int32_t r = 0; r < rows; r++, x += APOT_BLOCK) {
        __m512i product = c->factor == 1 ? _mm512_loadu_si512(x) : _mm512_mullo_epi32(_mm512_loadu_si512(x), factor);
        _mm512_storeu_si512(x, _mm512_add_epi32(product, _mm512_maskz_loadu_epi32(mask, first[r])));
    }
}

APOT_TARGET static void rescale(const apot_convolution *c, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                                const int32_t *x, uint8_t *const *out) {
    __mmask16 mask = (__mmask16)((1u << width) - 1), stored = (__mmask16)((1u << kept) - 1);
    __m512i multiplier = _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, c->multiplier + lane));
    __m512i shift = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, c->shift + lane));
    __m512i low = _mm512_maskz_loadu_epi64((__mmask8)mask, c->bias + lane);
    __m512i high = _mm512_maskz_loadu_epi64((__mmask8)(mask >> 8), c->bias + lane + 8);
    /* Outputs 0, 2, 4 ... and 1, 3, 5 ...: there are products of 64 bits of every other value alone. */
    __m512i bias_0 = _mm512_permutex2var_epi64(low, _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0), high);
    __m512i bias_1 = _mm512_permutex2var_epi64(low, _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1), high);
    __m512i shift_0 = _mm512_and_si512(shift, _mm512_set1_epi64(0xffffffff)), shift_1 = _mm512_srli_epi64(shift, 32);
    __m512i multiplier_1 = _mm512_srli_epi64(multiplier, 32);
    __m512i lowest = _mm512_set1_epi64(c->lowest), largest = _mm512_set1_epi64(APOT_LARGEST_VALUE);
    for (int32_t r = 0; r < rows; r++) {
        __m512i v = _mm512_loadu_si512(x + r * APOT_BLOCK);
        __m512i even = _mm512_add_epi64(_mm512_mul_epi32(v, multiplier), bias_0);
        __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(v, 32), multiplier_1), bias_1);
        even = _mm512_min_epi64(_mm512_max_epi64(_mm512_srav_epi64(even, shift_0), lowest), largest);
        odd = _mm512_min_epi64(_mm512_max_epi64(_mm512_srav_epi64(odd, shift_1), lowest), largest);
        __m512i both = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
        _mm256_mask_storeu_epi16(out[r], stored, _mm512_cvtepi32_epi16(both));
    }
}

/* Codes of numbers of thresholds, up to 31 of these. */
APOT_VECTOR __m256i codes_of(const apot_levels *levels, __m256i n) {
    __mmask32 mask = (__mmask32)(((uint64_t)1 << (levels->count + 1)) - 1);
    __m256i table = _mm256_maskz_loadu_epi8(mask, levels->codes);
    __m256i low = _mm256_permute2x128_si256(table, table, 0x00), high = _mm256_permute2x128_si256(table, table, 0x11);
    __mmask32 is_high = _mm256_cmpgt_epi8_mask(n, _mm256_set1_epi8(15));
    return _mm256_mask_shuffle_epi8(_mm256_shuffle_epi8(low, n), is_high, high, n);
}

APOT_VECTOR void compare_rows(const apot_convolution *c, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                              const int32_t *x, uint8_t *const *out) {
    __mmask16 mask = (__mmask16)((1u << width) - 1), stored = (__mmask16)((1u << kept) - 1);
    __m512i sign = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, c->signs + lane)), one = _mm512_set1_epi32(1);
    __m512i v[4], n[4];
    const int32_t *thresholds = c->thresholds + lane * c->levels.count;
#pragma GCC unroll 4
    for (int32_t r = 0; r < rows; r++) {
        v[r] = _mm512_sub_epi32(_mm512_xor_si512(_mm512_loadu_si512(x + r * APOT_BLOCK), sign), sign);
        n[r] = _mm512_setzero_si512();
    }
    for (int32_t t = 0; t < c->levels.count; t++, thresholds += width) {
        __m512i threshold = _mm512_maskz_loadu_epi32(mask, thresholds);
#pragma GCC unroll 4
        for (int32_t r = 0; r < rows; r++)
            n[r] = _mm512_mask_add_epi32(n[r], _mm512_cmple_epi32_mask(threshold, v[r]), n[r], one);
    }
#pragma GCC unroll 4
    for (int32_t r = 0; r < rows; r++) {
        __m256i codes = codes_of(&c->levels, _mm256_castsi128_si256(_mm512_cvtepi32_epi8(n[r])));
        _mm_mask_storeu_epi8(out[r], stored, _mm256_castsi256_si128(codes));
    }
}

APOT_TARGET static void compare(const apot_convolution *c, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                                const int32_t *x, uint8_t *const *out) {
    if (c->levels.count > APOT_MANY) {
        apot_compare_body(c, lane, width, kept, rows, x, out);
        return;
    }
    for (; rows >= 4; rows -= 4, x += 4 * APOT_BLOCK, out += 4) compare_rows(c, lane, width, kept, 4, x, out);
    for (; rows; rows--, x += APOT_BLOCK, out++) compare_rows(c, lane, width, kept, 1, x, out);
}

APOT_TARGET static void threshold(const apot_stream_value *x, const apot_levels *levels, uint8_t *out, int32_t length) {
    if (levels->count > APOT_MANY) {
        apot_threshold_body(x, levels, out, length);
        return;
    }
    for (int32_t start = 0; start < length; start += 64) {
        uint64_t left = (uint64_t)(length - start), mask = left < 64 ? ((uint64_t)1 << left) - 1 : ~(uint64_t)0;
        __m512i a = _mm512_maskz_loadu_epi16((__mmask32)mask, x + start);
        __m512i b = _mm512_maskz_loadu_epi16((__mmask32)(mask >> 32), x + start + 32);
        __m512i n = _mm512_setzero_si512(), m = n, one = _mm512_set1_epi16(1);
        for (int32_t t = 0; t < levels->count; t++) {
            __m512i below = _mm512_set1_epi16(levels->below[t]);
            n = _mm512_mask_add_epi16(n, _mm512_cmpgt_epi16_mask(a, below), n, one);
            m = _mm512_mask_add_epi16(m, _mm512_cmpgt_epi16_mask(b, below), m, one);
        }
        _mm256_mask_storeu_epi8(out + start, (__mmask32)mask, codes_of(levels, _mm512_cvtepi16_epi8(n)));
        if (left > 32)
            _mm256_mask_storeu_epi8(out + start + 32, (__mmask32)(mask >> 32), codes_of(levels, _mm512_cvtepi16_epi8(m)));
    }
}

APOT_TARGET static void add(const apot_stream_value *x, const apot_stream_value *y, apot_stream_value *out,
                            const apot_flat *flat) {
    __m512i lowest = _mm512_set1_epi16((int16_t)flat->lowest), largest = _mm512_set1_epi16(APOT_LARGEST_VALUE);
    for (int32_t start = 0; start < flat->length; start += 32) {
        int32_t left = flat->length - start;
        __mmask32 mask = left < 32 ? ((__mmask32)1 << left) - 1 : ~(__mmask32)0;
        __m512i sum = _mm512_maskz_loadu_epi16(mask, x + start);
        if (y) sum = _mm512_adds_epi16(sum, _mm512_maskz_loadu_epi16(mask, y + start));
        _mm512_mask_storeu_epi16(out + start, mask, _mm512_min_epi16(_mm512_max_epi16(sum, lowest), largest));
    }
}

APOT_TARGET static void max_pool(const apot_pool *p, const apot_stream_value *x, apot_stream_value *out) {
    for (int32_t row = 0; row < p->out.height; row++)
        for (int32_t column = 0; column < p->out.width; column++, out += p->out.pitch) {
            apot_window window = apot_window_of(p, row, column);
            for (int32_t start = 0; start < p->out.pitch; start += 32) {
                int32_t left = p->out.pitch - start;
                __mmask32 mask = left < 32 ? ((__mmask32)1 << left) - 1 : ~(__mmask32)0;
                __m512i best = _mm512_set1_epi16(APOT_SMALLEST_VALUE);
                for (int32_t y = window.top; y < window.bottom; y++)
                    for (int32_t z = window.left; z < window.right; z++) {
                        const apot_stream_value *from = x + (y * p->in.width + z) * p->in.pitch + start;
                        best = _mm512_max_epi16(best, _mm512_maskz_loadu_epi16(mask, from));
                    }
                _mm512_mask_storeu_epi16(out + start, mask, best);
            }
        }
}

APOT_TARGET static void head(const apot_head *parameters, const apot_sum_value *x, apot_logit *logits) {
    apot_head_body(parameters, x, logits);
}

const apot_kernels apot_vnni = APOT_KERNELS("AVX-512 VNNI", 16);

#else
typedef int apot_not_empty;
#endif
