/* What AVX2 does to sums, and steps beside convolutions; for apot_avx2.c. */
#include <immintrin.h>

#include "apot_bodies.h"

APOT_VECTOR __m256i eight_at(const int32_t *x) { return _mm256_loadu_si256((const __m256i *)(const void *)x); }

/* Sixteen numbers of 16 bits; what does not fit becomes the largest or the smallest number. */
APOT_VECTOR __m256i saturated(__m256i first, __m256i last) {
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(first, last), 0xd8);
}

/* Eight sums, see apot_finish.h. */
APOT_VECTOR __m256i rescaled(__m256i x, const __m256i *parts, __m256i high_part, __m128i shift) {
    __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(0x7fff)), high = _mm256_srai_epi32(x, 15);
    __m256i both = _mm256_or_si256(low, _mm256_slli_epi32(high, 16));
    __m256i one = _mm256_or_si256(low, _mm256_set1_epi32(0x10000));
    __m256i y = _mm256_add_epi32(_mm256_slli_epi32(_mm256_madd_epi16(high, high_part), 15), parts[2]);
    y = _mm256_add_epi32(y, _mm256_madd_epi16(both, parts[1]));
    return _mm256_sra_epi32(_mm256_add_epi32(y, _mm256_srai_epi32(_mm256_madd_epi16(one, parts[0]), 15)), shift);
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
    const int32_t *from = c->parts + lane * APOT_PARTS, shift = from[3 * width];
    if (shift < 0 || width < APOT_BLOCK || kept < APOT_BLOCK) {
        apot_rescale_body(c, lane, kept, rows, x, out);
        return;
    }
    __m256i lowest = _mm256_set1_epi16((int16_t)c->lowest), largest = _mm256_set1_epi16(APOT_LARGEST_VALUE);
    __m256i parts[2][3], high_parts[2];
    for (int32_t h = 0; h < 2; h++) {
        for (int32_t p = 0; p < 3; p++) parts[h][p] = eight_at(from + p * APOT_BLOCK + 8 * h);
        high_parts[h] = _mm256_and_si256(parts[h][1], _mm256_set1_epi32(0xffff));
    }
    for (int32_t r = 0; r < rows; r++, x += APOT_BLOCK) {
        __m256i y_0 = rescaled(eight_at(x), parts[0], high_parts[0], _mm_cvtsi32_si128(shift));
        __m256i y_1 = rescaled(eight_at(x + 8), parts[1], high_parts[1], _mm_cvtsi32_si128(shift));
        __m256i y = _mm256_min_epi16(_mm256_max_epi16(saturated(y_0, y_1), lowest), largest);
        _mm256_storeu_si256((__m256i *)(void *)out[r], y);
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

APOT_VECTOR void compare_rows(const apot_convolution *c, int32_t lane, int32_t rows, const int32_t *x,
                              uint8_t *const *out) {
    const int16_t *thresholds = c->thresholds_16 + lane * c->levels.count;
    __m128i low, high, signs = _mm_loadu_si128((const __m128i *)(const void *)(c->signs + lane));
    __m256i sign_0 = _mm256_cvtepi8_epi32(signs), sign_1 = _mm256_cvtepi8_epi32(_mm_srli_si128(signs, 8));
    __m256i v[4], n[4]; /* n: minus those that are not reached */
    load_codes(&c->levels, &low, &high);
#pragma GCC unroll 4
    for (int32_t r = 0; r < rows; r++, x += APOT_BLOCK) {
        v[r] = saturated(_mm256_sub_epi32(_mm256_xor_si256(eight_at(x), sign_0), sign_0),
                         _mm256_sub_epi32(_mm256_xor_si256(eight_at(x + 8), sign_1), sign_1));
        n[r] = _mm256_set1_epi16((int16_t)c->levels.count);
    }
    for (int32_t t = 0; t < c->levels.count; t++, thresholds += APOT_BLOCK) {
        __m256i threshold = _mm256_loadu_si256((const __m256i *)(const void *)thresholds);
#pragma GCC unroll 4
        for (int32_t r = 0; r < rows; r++) n[r] = _mm256_add_epi16(n[r], _mm256_cmpgt_epi16(threshold, v[r]));
    }
#pragma GCC unroll 4
    for (int32_t r = 0; r < rows; r++) {
        __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(n[r]), _mm256_extracti128_si256(n[r], 1));
        _mm_storeu_si128((__m128i *)(void *)out[r], codes_of(low, high, bytes));
    }
}

APOT_TARGET static void compare(const apot_convolution *c, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                                const int32_t *x, uint8_t *const *out) {
    if (width < APOT_BLOCK || kept < APOT_BLOCK || !c->thresholds_16 || c->levels.count > APOT_MANY) {
        apot_compare_body(c, lane, width, kept, rows, x, out);
        return;
    }
    for (; rows >= 4; rows -= 4, x += 4 * APOT_BLOCK, out += 4) compare_rows(c, lane, 4, x, out);
    for (; rows; rows--, x += APOT_BLOCK, out++) compare_rows(c, lane, 1, x, out);
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
