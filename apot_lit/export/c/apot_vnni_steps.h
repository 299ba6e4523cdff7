/* What AVX-512 does to sums, and steps beside convolutions; for apot_vnni.c. */
#include <immintrin.h>

#include "apot_bodies.h"

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
        if (kept == APOT_BLOCK)
            _mm256_storeu_si256((__m256i *)(void *)out[r], _mm512_cvtepi32_epi16(both));
        else
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

/* Codes of a whole block at twice `pairs` positions, two of them in one vector of 16 bits: four outputs of one and the same
 * of the other in turns. */
APOT_VECTOR void compare_pairs(const apot_convolution *c, int32_t lane, int32_t pairs, const int32_t *x,
                               uint8_t *const *out) {
    const int16_t *thresholds = c->thresholds_16 + lane * c->levels.count;
    __m512i sign = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(c->signs + lane)));
    __m512i in_turns = _mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0), one = _mm512_set1_epi16(1), v[4], n[4];
#pragma GCC unroll 4
    for (int32_t p = 0; p < pairs; p++, x += 2 * APOT_BLOCK) {
        __m512i first = _mm512_sub_epi32(_mm512_xor_si512(_mm512_loadu_si512(x), sign), sign);
        __m512i last = _mm512_sub_epi32(_mm512_xor_si512(_mm512_loadu_si512(x + APOT_BLOCK), sign), sign);
        v[p] = _mm512_packs_epi32(first, last);
        n[p] = _mm512_setzero_si512();
    }
    for (int32_t t = 0; t < c->levels.count; t++, thresholds += APOT_BLOCK) {
        __m256i of_block = _mm256_loadu_si256((const __m256i *)(const void *)thresholds);
        __m512i threshold = _mm512_permutexvar_epi64(in_turns, _mm512_castsi256_si512(of_block));
#pragma GCC unroll 4
        for (int32_t p = 0; p < pairs; p++)
            n[p] = _mm512_mask_add_epi16(n[p], _mm512_cmple_epi16_mask(threshold, v[p]), n[p], one);
    }
#pragma GCC unroll 4
    for (int32_t p = 0; p < pairs; p++) {
        __m256i codes = codes_of(&c->levels, _mm512_cvtepi16_epi8(n[p]));
        codes = _mm256_permutevar8x32_epi32(codes, _mm256_set_epi32(7, 5, 3, 1, 6, 4, 2, 0));
        _mm_storeu_si128((__m128i *)(void *)out[2 * p], _mm256_castsi256_si128(codes));
        _mm_storeu_si128((__m128i *)(void *)out[2 * p + 1], _mm256_extracti128_si256(codes, 1));
    }
}

APOT_TARGET static void compare(const apot_convolution *c, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                                const int32_t *x, uint8_t *const *out) {
    if (c->levels.count > APOT_MANY) {
        apot_compare_body(c, lane, width, kept, rows, x, out);
        return;
    }
    if (c->thresholds_16 && kept == APOT_BLOCK) {
        for (; rows >= 8; rows -= 8, x += 8 * APOT_BLOCK, out += 8) compare_pairs(c, lane, 4, x, out);
        for (; rows >= 2; rows -= 2, x += 2 * APOT_BLOCK, out += 2) compare_pairs(c, lane, 1, x, out);
    }
    for (; rows >= 4; rows -= 4, x += 4 * APOT_BLOCK, out += 4) compare_rows(c, lane, width, kept, 4, x, out);
    for (; rows; rows--, x += APOT_BLOCK, out++) compare_rows(c, lane, width, kept, 1, x, out);
}

/* Numbers of thresholds below x, which are searched: in below[] lie 31 of them, the last ones never reached, and 16 more
 * values that no search reads. Each step compares with those in the middle of what is left. */
APOT_VECTOR __m512i searched(__m512i x, const int16_t *below, int32_t first_step) {
    __m512i n = _mm512_setzero_si512();
    for (int32_t step = first_step; step; step /= 2) {
        __m512i middle = _mm512_permutexvar_epi16(n, _mm512_loadu_si512(below + step - 1));
        n = _mm512_mask_add_epi16(n, _mm512_cmpgt_epi16_mask(x, middle), n, _mm512_set1_epi16((int16_t)step));
    }
    return n;
}

APOT_TARGET static void threshold(const apot_stream_value *x, const apot_levels *levels, uint8_t *out, int32_t length) {
    int32_t first_step = 1;
    int16_t below[APOT_MANY + 16];
    if (levels->count > APOT_MANY) {
        apot_threshold_body(x, levels, out, length);
        return;
    }
    while (2 * first_step <= levels->count) first_step *= 2;
    for (int32_t t = 0; t < APOT_MANY + 16; t++) below[t] = t < levels->count ? levels->below[t] : INT16_MAX;
    for (int32_t start = 0; start < length; start += 32) {
        int32_t left = length - start;
        __mmask32 mask = left < 32 ? ((__mmask32)1 << left) - 1 : ~(__mmask32)0;
        __m512i n = searched(_mm512_maskz_loadu_epi16(mask, x + start), below, first_step);
        __m256i codes = codes_of(levels, _mm512_cvtepi16_epi8(n));
        if (left < 32)
            _mm256_mask_storeu_epi8(out + start, mask, codes);
        else
            _mm256_storeu_si256((__m256i *)(void *)(out + start), codes);
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
