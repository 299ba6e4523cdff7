/* Comparisons with the vectors of GNU C, where the processor has some: what is compared stays in registers. */
#ifndef APOT_LANES_H
#define APOT_LANES_H

#include <string.h>

#include "apot_bodies.h"

#if defined __GNUC__ && !defined APOT_PLAIN && \
    (defined __SSE2__ || defined __ARM_NEON || defined __wasm_simd128__ || defined __ALTIVEC__)
#define APOT_LANES
#ifdef __AVX2__
#define APOT_BYTES 32
#else
#define APOT_BYTES 16
#endif

#if defined __SSE2__
#include <immintrin.h>
#define APOT_PAIRS
#elif defined __wasm_simd128__
#include <wasm_simd128.h>
#define APOT_PAIRS
#endif

typedef int32_t apot_sums_vector __attribute__((vector_size(APOT_BYTES)));
typedef int16_t apot_short_vector __attribute__((vector_size(APOT_BYTES)));
typedef apot_stream apot_stream_vector __attribute__((vector_size(APOT_BYTES)));

#define APOT_VECTORS (4 * APOT_BLOCK / APOT_BYTES)
#define APOT_STREAM_LANES (APOT_BYTES / (int32_t)sizeof(apot_stream))
#define APOT_AT_ONCE 4 /* vectors of the stream */
/* So many positions of a whole block fit into registers. */
#define APOT_PAIR_ROWS (APOT_BYTES / 16 < APOT_ROWS ? APOT_BYTES / 16 : APOT_ROWS)

#ifndef APOT_PAIRS

/* Codes of one whole block: their numbers are counted down from the last one, by a mask of -1 for each threshold above. */
APOT_INLINE void compare_block(const apot_convolution *c, int32_t lane, int32_t kept, const int32_t *sums, uint8_t *out) {
    apot_sums_vector x[APOT_VECTORS], n[APOT_VECTORS];
    const int32_t *thresholds = c->thresholds + lane * c->levels.count;
    int32_t found[APOT_BLOCK];
    for (int32_t o = 0; o < APOT_BLOCK; o++) found[o] = (sums[o] ^ c->signs[lane + o]) - c->signs[lane + o];
    memcpy(x, found, sizeof x);
    for (int32_t v = 0; v < APOT_VECTORS; v++) n[v] = (apot_sums_vector){0} + c->levels.count;
    for (int32_t t = 0; t < c->levels.count; t++, thresholds += APOT_BLOCK)
        for (int32_t v = 0; v < APOT_VECTORS; v++) {
            apot_sums_vector threshold;
            memcpy(&threshold, thresholds + v * (APOT_BYTES / 4), APOT_BYTES);
            n[v] += threshold > x[v];
        }
    memcpy(found, n, sizeof found);
    for (int32_t o = 0; o < kept; o++) out[o] = c->levels.codes[found[o]];
}

static void compare(const apot_convolution *c, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                    const int32_t *sums, uint8_t *const *out) {
    if (width < APOT_BLOCK || c->levels.count > APOT_MANY)
        apot_compare_body(c, lane, width, kept, rows, sums, out);
    else
        for (int32_t r = 0; r < rows; r++) compare_block(c, lane, kept, sums + r * APOT_BLOCK, out[r]);
}

#endif

/* From one code to the next, what it differs by is added where its threshold is reached. `out` may begin where x does. */
static void threshold(const apot_stream_value *x, const apot_levels *levels, uint8_t *out, int32_t length) {
    int32_t start = 0, size = APOT_AT_ONCE * APOT_STREAM_LANES;
    apot_stream_vector below[APOT_MANY], step[APOT_MANY];
    for (int32_t t = 0; t < levels->count && levels->count <= APOT_MANY; t++) {
        below[t] = (apot_stream_vector){0} + levels->below[t];
        step[t] = (apot_stream_vector){0} + (apot_stream)(levels->codes[t + 1] - levels->codes[t]);
    }
    for (; levels->count <= APOT_MANY && start + size <= length; start += size) {
        apot_stream_vector value[APOT_AT_ONCE], code[APOT_AT_ONCE];
        apot_stream codes[APOT_AT_ONCE * APOT_STREAM_LANES];
        memcpy(value, x + start, sizeof value);
        for (int32_t v = 0; v < APOT_AT_ONCE; v++) code[v] = (apot_stream_vector){0} + (apot_stream)levels->codes[0];
        for (int32_t t = 0; t < levels->count; t++)
            for (int32_t v = 0; v < APOT_AT_ONCE; v++) code[v] += (value[v] > below[t]) & step[t];
        memcpy(codes, code, sizeof codes);
        for (int32_t i = 0; i < size; i++) out[start + i] = (uint8_t)codes[i];
    }
    apot_threshold_body(x + start, levels, out + start, length - start);
}

static void max_pool(const apot_pool *p, const apot_stream_value *x, apot_stream_value *out) {
    if (p->out.pitch % APOT_STREAM_LANES) {
        apot_max_pool_body(p, x, out);
        return;
    }
    for (int32_t row = 0; row < p->out.height; row++)
        for (int32_t column = 0; column < p->out.width; column++) {
            apot_window window = apot_window_of(p, row, column);
            for (int32_t start = 0; start < p->out.pitch; start += APOT_STREAM_LANES, out += APOT_STREAM_LANES) {
                apot_stream_vector best = (apot_stream_vector){0} + APOT_SMALLEST_VALUE;
                for (int32_t y = window.top; y < window.bottom; y++)
                    for (int32_t z = window.left; z < window.right; z++) {
                        apot_stream_vector value;
                        memcpy(&value, x + (y * p->in.width + z) * p->in.pitch + start, sizeof value);
                        apot_stream_vector is_more = value > best;
                        best = (value & is_more) | (best & ~is_more);
                    }
                memcpy(out, &best, sizeof best);
            }
        }
}

#endif
#endif
