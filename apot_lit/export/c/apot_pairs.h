/* What instructions for products of neighbours of 16 bits, added up in 32 bits, are called: SSE2, AVX2 and WebAssembly
 * have them. In a vector of 16 bits lie two or four outputs with four inputs each: there are two sums of each output. */
#ifndef APOT_PAIRS_H
#define APOT_PAIRS_H

#include "apot_lanes.h"

#ifdef APOT_PAIRS

/* Products of neighbours, added up. */
APOT_INLINE apot_sums_vector pair_products(apot_short_vector a, apot_short_vector b) {
#if defined __AVX2__
    return (apot_sums_vector)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined __SSE2__
    return (apot_sums_vector)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    return (apot_sums_vector)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b);
#endif
}

/* Four codes of one position, again and again. */
APOT_INLINE apot_short_vector four_codes(const uint8_t *codes) {
    int32_t four;
    memcpy(&four, codes, sizeof four);
#if defined __AVX2__
    return (apot_short_vector)_mm256_cvtepu8_epi16(_mm_set1_epi32(four));
#elif defined __SSE2__
    return (apot_short_vector)_mm_unpacklo_epi8(_mm_set1_epi32(four), _mm_setzero_si128());
#else
    return (apot_short_vector)wasm_u16x8_extend_low_u8x16(wasm_i32x4_splat(four));
#endif
}

/* As many weights as fit. */
APOT_INLINE apot_short_vector some_weights(const apot_weight *weights) {
#ifdef APOT_WIDE
    apot_short_vector found;
    memcpy(&found, weights, sizeof found);
    return found;
#elif defined __AVX2__
    return (apot_short_vector)_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)weights));
#elif defined __SSE2__
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)weights);
    return (apot_short_vector)_mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
#else
    return (apot_short_vector)wasm_i16x8_load8x8(weights);
#endif
}

/* The two sums of each output in two vectors, added up: one vector. */
APOT_INLINE apot_sums_vector neighbours_added(apot_sums_vector a, apot_sums_vector b) {
#if defined __AVX2__
    __m256 x = _mm256_castsi256_ps((__m256i)a), y = _mm256_castsi256_ps((__m256i)b);
    __m256i even = _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0x88));
    __m256i odd = _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0xdd));
    return (apot_sums_vector)_mm256_permute4x64_epi64(_mm256_add_epi32(even, odd), 0xd8);
#elif defined __SSE2__
    __m128 x = _mm_castsi128_ps((__m128i)a), y = _mm_castsi128_ps((__m128i)b);
    __m128i even = _mm_castps_si128(_mm_shuffle_ps(x, y, 0x88)), odd = _mm_castps_si128(_mm_shuffle_ps(x, y, 0xdd));
    return (apot_sums_vector)_mm_add_epi32(even, odd);
#else
    v128_t even = wasm_i32x4_shuffle((v128_t)a, (v128_t)b, 0, 2, 4, 6);
    v128_t odd = wasm_i32x4_shuffle((v128_t)a, (v128_t)b, 1, 3, 5, 7);
    return (apot_sums_vector)wasm_i32x4_add(even, odd);
#endif
}

/* Two vectors as one of 16 bits; what does not fit becomes the largest or the smallest number. */
APOT_INLINE apot_short_vector saturated(apot_sums_vector a, apot_sums_vector b) {
#if defined __AVX2__
    return (apot_short_vector)_mm256_permute4x64_epi64(_mm256_packs_epi32((__m256i)a, (__m256i)b), 0xd8);
#elif defined __SSE2__
    return (apot_short_vector)_mm_packs_epi32((__m128i)a, (__m128i)b);
#else
    return (apot_short_vector)wasm_i16x8_narrow_i32x4((v128_t)a, (v128_t)b);
#endif
}

/* The sum of each two, saturated in the same way. */
APOT_INLINE apot_short_vector saturated_sum(apot_short_vector a, apot_short_vector b) {
#if defined __AVX2__
    return (apot_short_vector)_mm256_adds_epi16((__m256i)a, (__m256i)b);
#elif defined __SSE2__
    return (apot_short_vector)_mm_adds_epi16((__m128i)a, (__m128i)b);
#else
    return (apot_short_vector)wasm_i16x8_add_sat((v128_t)a, (v128_t)b);
#endif
}

/* The larger of each two. */
APOT_INLINE apot_short_vector larger(apot_short_vector a, apot_short_vector b) {
#if defined __AVX2__
    return (apot_short_vector)_mm256_max_epi16((__m256i)a, (__m256i)b);
#elif defined __SSE2__
    return (apot_short_vector)_mm_max_epi16((__m128i)a, (__m128i)b);
#else
    return (apot_short_vector)wasm_i16x8_max((v128_t)a, (v128_t)b);
#endif
}

/* Stores numbers of 16 bits, 0 to 255, as bytes. */
APOT_INLINE void store_bytes(uint8_t *to, apot_short_vector x) {
#if defined __AVX2__
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi16((__m256i)x, (__m256i)x), 0x08);
    _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(packed));
#elif defined __SSE2__
    _mm_storel_epi64((__m128i *)(void *)to, _mm_packus_epi16((__m128i)x, (__m128i)x));
#else
    wasm_v128_store64_lane(to, wasm_u8x16_narrow_i16x8((v128_t)x, (v128_t)x), 0);
#endif
}

#endif
#endif
