/* Kernels for AVX2: products of codes and weights are added up in 16 bits as long as they are proved to fit. */
#include "apot_internal.h"

#ifdef APOT_X86

#include <immintrin.h>
#include <string.h>

#define APOT_TARGET __attribute__((target("avx2")))
#define APOT_VECTOR static inline __attribute__((always_inline, target("avx2")))
#define APOT_OWN_LOOPS
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

/* Eight sums x multiplied, moved and shifted, within bounds. */
APOT_VECTOR __m256i rescaled(__m256i x, __m256i multiplier, __m256i bias, __m256i shift, __m256i lowest,
                             __m256i largest) {
    __m256i sign = _mm256_set1_epi64x(INT64_MIN);
    __m256i y = _mm256_add_epi64(_mm256_mul_epi32(x, multiplier), bias);
    /* An arithmetic shift of 64 bits: that of y + 2^63, which is not negative, minus that of 2^63. */
    y = _mm256_sub_epi64(_mm256_srlv_epi64(_mm256_xor_si256(y, sign), shift), _mm256_srlv_epi64(sign, shift));
    y = _mm256_blendv_epi8(y, lowest, _mm256_cmpgt_epi64(lowest, y));
    return _mm256_blendv_epi8(y, largest, _mm256_cmpgt_epi64(y, largest));
}

/* Sums are written and read whole: a processor waits where it reads as one what was written in parts. */
APOT_TARGET static void add_first(const apot_convolution *c, int32_t width, int32_t rows, const int32_t *const *first,
                                  int32_t *x) {
    if (width < APOT_BLOCK) {
        apot_add_first_body(c, width, rows, first, x);
        return;
    }
    __m256i factor = _mm256_set1_epi32(c->factor);
    for (int32_t r = 0; r < rows; r++)
        for (int32_t h = 0; h < 2; h++, x += 8) {
            __m256i *sums = (__m256i *)(void *)x, product = _mm256_loadu_si256(sums);
            if (c->factor != 1) product = _mm256_mullo_epi32(product, factor);
            __m256i added = _mm256_loadu_si256((const __m256i *)(const void *)(first[r] + 8 * h));
            _mm256_storeu_si256(sums, _mm256_add_epi32(product, added));
        }
}

APOT_TARGET static void rescale(const apot_convolution *c, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                                const int32_t *x, uint8_t *const *out) {
    if (width < APOT_BLOCK || kept < APOT_BLOCK) {
        apot_rescale_body(c, lane, kept, rows, x, out);
        return;
    }
    __m256i lowest = _mm256_set1_epi64x(c->lowest), largest = _mm256_set1_epi64x(APOT_LARGEST_VALUE);
    for (int32_t h = 0; h < 2; h++) {
        const int16_t *m = c->multiplier + lane + 8 * h;
        const int64_t *b = c->bias + lane + 8 * h;
        const uint8_t *s = c->shift + lane + 8 * h;
        __m256i multiplier = _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)m));
        __m256i multiplier_1 = _mm256_srli_epi64(multiplier, 32);
        __m256i bias_0 = _mm256_set_epi64x(b[6], b[4], b[2], b[0]), bias_1 = _mm256_set_epi64x(b[7], b[5], b[3], b[1]);
        __m256i shift_0 = _mm256_set_epi64x(s[6], s[4], s[2], s[0]), shift_1 = _mm256_set_epi64x(s[7], s[5], s[3], s[1]);
        for (int32_t r = 0; r < rows; r++) {
            __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(x + r * APOT_BLOCK + 8 * h));
            __m256i even = rescaled(v, multiplier, bias_0, shift_0, lowest, largest);
            __m256i odd = rescaled(_mm256_srli_epi64(v, 32), multiplier_1, bias_1, shift_1, lowest, largest);
            __m256i both = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
            __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
            _mm_storeu_si128((__m128i *)(void *)(out[r] + 16 * h), packed);
        }
    }
}

/* Codes of numbers of thresholds, up to 31 of these. */
APOT_VECTOR __m128i codes_of(__m128i low, __m128i high, __m128i n) {
    __m128i is_high = _mm_cmpgt_epi8(n, _mm_set1_epi8(15));
    return _mm_blendv_epi8(_mm_shuffle_epi8(low, n), _mm_shuffle_epi8(high, n), is_high);
}

APOT_VECTOR void load_codes(const apot_levels *levels, __m128i *low, __m128i *high) {
    uint8_t table[32] = {0};
    memcpy(table, levels->codes, (size_t)levels->count + 1);
    *low = _mm_loadu_si128((const __m128i *)(const void *)table);
    *high = _mm_loadu_si128((const __m128i *)(const void *)(table + 16));
}

APOT_TARGET static void compare(const apot_convolution *c, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                                const int32_t *x, uint8_t *const *out) {
    if (width < APOT_BLOCK || kept < APOT_BLOCK || c->levels.count > APOT_MANY) {
        apot_compare_body(c, lane, width, kept, rows, x, out);
        return;
    }
    __m128i low, high, signs = _mm_loadu_si128((const __m128i *)(const void *)(c->signs + lane));
    __m256i sign_0 = _mm256_cvtepi8_epi32(signs), sign_1 = _mm256_cvtepi8_epi32(_mm_srli_si128(signs, 8));
    load_codes(&c->levels, &low, &high);
    for (int32_t r = 0; r < rows; r++) {
        const int32_t *thresholds = c->thresholds + lane * c->levels.count;
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(x + r * APOT_BLOCK));
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(x + r * APOT_BLOCK + 8));
        a = _mm256_sub_epi32(_mm256_xor_si256(a, sign_0), sign_0);
        b = _mm256_sub_epi32(_mm256_xor_si256(b, sign_1), sign_1);
        __m256i n = _mm256_set1_epi32(c->levels.count), m = n; /* minus those that are not reached */
        for (int32_t t = 0; t < c->levels.count; t++, thresholds += APOT_BLOCK) {
            __m256i t0 = _mm256_loadu_si256((const __m256i *)(const void *)thresholds);
            __m256i t1 = _mm256_loadu_si256((const __m256i *)(const void *)(thresholds + 8));
            n = _mm256_add_epi32(n, _mm256_cmpgt_epi32(t0, a));
            m = _mm256_add_epi32(m, _mm256_cmpgt_epi32(t1, b));
        }
        __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(n, m), 0xd8);
        __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
        _mm_storeu_si128((__m128i *)(void *)out[r], codes_of(low, high, bytes));
    }
}

APOT_TARGET static void threshold(const apot_stream_value *x, const apot_levels *levels, uint8_t *out, int32_t length) {
    int32_t start = 0;
    __m128i low, high;
    if (levels->count <= APOT_MANY) {
        load_codes(levels, &low, &high);
        for (; start + 32 <= length; start += 32) {
            __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(x + start));
            __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(x + start + 16));
            __m256i n = _mm256_setzero_si256(), m = n;
            for (int32_t t = 0; t < levels->count; t++) {
                __m256i below = _mm256_set1_epi16(levels->below[t]);
                n = _mm256_sub_epi16(n, _mm256_cmpgt_epi16(a, below));
                m = _mm256_sub_epi16(m, _mm256_cmpgt_epi16(b, below));
            }
            __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi16(n, m), 0xd8);
            __m128i *to = (__m128i *)(void *)(out + start);
            _mm_storeu_si128(to, codes_of(low, high, _mm256_castsi256_si128(both)));
            _mm_storeu_si128(to + 1, codes_of(low, high, _mm256_extracti128_si256(both, 1)));
        }
    }
    apot_threshold_body(x + start, levels, out + start, length - start);
}

APOT_TARGET static void add(const apot_stream_value *x, const apot_stream_value *y, apot_stream_value *out,
                            const apot_flat *flat) {
    __m256i lowest = _mm256_set1_epi16((int16_t)flat->lowest), largest = _mm256_set1_epi16(APOT_LARGEST_VALUE);
    int32_t start = 0;
    for (; start + 16 <= flat->length; start += 16) {
        __m256i sum = _mm256_loadu_si256((const __m256i *)(const void *)(x + start));
        if (y) sum = _mm256_adds_epi16(sum, _mm256_loadu_si256((const __m256i *)(const void *)(y + start)));
        sum = _mm256_min_epi16(_mm256_max_epi16(sum, lowest), largest);
        _mm256_storeu_si256((__m256i *)(void *)(out + start), sum);
    }
    apot_flat rest = {flat->length - start, flat->lowest};
    apot_add_body(x + start, y ? y + start : y, out + start, &rest);
}

APOT_TARGET static void max_pool(const apot_pool *p, const apot_stream_value *x, apot_stream_value *out) {
    if (p->out.pitch % 16) {
        apot_max_pool_body(p, x, out);
        return;
    }
    for (int32_t row = 0; row < p->out.height; row++)
        for (int32_t column = 0; column < p->out.width; column++) {
            apot_window window = apot_window_of(p, row, column);
            for (int32_t start = 0; start < p->out.pitch; start += 16, out += 16) {
                __m256i best = _mm256_set1_epi16(APOT_SMALLEST_VALUE);
                for (int32_t y = window.top; y < window.bottom; y++)
                    for (int32_t z = window.left; z < window.right; z++) {
                        const apot_stream_value *from = x + (y * p->in.width + z) * p->in.pitch + start;
                        best = _mm256_max_epi16(best, _mm256_loadu_si256((const __m256i *)(const void *)from));
                    }
                _mm256_storeu_si256((__m256i *)(void *)out, best);
            }
        }
}

APOT_TARGET static void head(const apot_head *parameters, const apot_sum_value *x, apot_logit *logits) {
    apot_head_body(parameters, x, logits);
}

const apot_kernels apot_avx2 = APOT_KERNELS("AVX2", APOT_ROWS * APOT_BLOCKS);

#else
typedef int apot_not_empty;
#endif
