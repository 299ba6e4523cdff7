/* What kernels compute, in plain C. Each kernel's file compiles this for its own instructions; loops of constant length
 * over local arrays are what compilers turn into vector instructions. */
#ifndef APOT_BODIES_H
#define APOT_BODIES_H

#include <string.h>

#include "apot_internal.h"

#define APOT_CHUNK 64
#define APOT_MANY 31 /* so many thresholds are searched rather than counted */

/* How many of a set of thresholds that are `step` apart are at most x. */
APOT_INLINE int32_t apot_search(const int32_t *thresholds, int32_t step, int32_t count, int32_t x) {
    int32_t first = 0;
    while (count > 0) {
        int32_t half = count / 2, is_reached = thresholds[(first + half) * step] <= x;
        first += is_reached ? half + 1 : 0;
        count = is_reached ? count - half - 1 : half;
    }
    return first;
}

APOT_INLINE void apot_add_first_body(const apot_convolution *c, int32_t width, int32_t rows,
                                     const int32_t *const *first, int32_t *sums) {
    for (int32_t r = 0; r < rows; r++, sums += APOT_BLOCK)
        if (c->factor == 1 && width == APOT_BLOCK) /* as mostly */
            for (int32_t o = 0; o < APOT_BLOCK; o++) sums[o] += first[r][o];
        else
            for (int32_t o = 0; o < width; o++) sums[o] = (int32_t)(apot_product(sums[o], c->factor) + first[r][o]);
}

APOT_INLINE void apot_rescale_body(const apot_convolution *c, int32_t lane, int32_t kept, int32_t rows,
                                   const int32_t *sums, uint8_t *const *out) {
    const int16_t *multiplier = c->multiplier + lane;
    const int64_t *bias = c->bias + lane;
    const uint8_t *shift = c->shift + lane;
    int32_t lowest = c->lowest;
    for (int32_t r = 0; r < rows; r++, sums += APOT_BLOCK) {
        apot_stream_value *y = (apot_stream_value *)(void *)out[r];
        for (int32_t o = 0; o < kept; o++) {
            int64_t product = apot_product(sums[o], multiplier[o]) + bias[o];
            y[o] = (apot_stream)apot_saturated(apot_shifted(product, shift[o]), lowest);
        }
    }
}

APOT_INLINE void apot_compare_body(const apot_convolution *c, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                                   const int32_t *sums, uint8_t *const *out) {
    const int32_t *thresholds = c->thresholds + lane * c->levels.count;
    for (int32_t r = 0; r < rows; r++) {
        int32_t x[APOT_BLOCK] = {0}, n[APOT_BLOCK] = {0};
        for (int32_t o = 0; o < width; o++) x[o] = (sums[r * APOT_BLOCK + o] ^ c->signs[lane + o]) - c->signs[lane + o];
        if (c->levels.count > APOT_MANY)
            for (int32_t o = 0; o < width; o++) n[o] = apot_search(thresholds + o, width, c->levels.count, x[o]);
        else if (width == APOT_BLOCK)
            for (int32_t t = 0; t < c->levels.count; t++)
                for (int32_t o = 0; o < APOT_BLOCK; o++) n[o] += thresholds[t * APOT_BLOCK + o] <= x[o];
        else
            for (int32_t t = 0; t < c->levels.count; t++)
                for (int32_t o = 0; o < width; o++) n[o] += thresholds[t * width + o] <= x[o];
        for (int32_t o = 0; o < kept; o++) out[r][o] = c->levels.codes[n[o]];
    }
}

/* Codes of up to APOT_CHUNK values. */
APOT_INLINE void apot_threshold_chunk(const apot_stream *x, const apot_levels *levels, uint8_t *out, int32_t size) {
    apot_stream n[APOT_CHUNK] = {0};
    if (levels->count > APOT_MANY) {
        for (int32_t i = 0; i < size; i++) {
            int32_t first = 0, count = levels->count;
            while (count > 0) {
                int32_t half = count / 2, is_reached = x[i] > levels->below[first + half];
                first += is_reached ? half + 1 : 0;
                count = is_reached ? count - half - 1 : half;
            }
            out[i] = levels->codes[first];
        }
        return;
    }
    for (int32_t t = 0; t < levels->count; t++) {
        apot_stream below = levels->below[t];
        for (int32_t i = 0; i < APOT_CHUNK; i++) n[i] = (apot_stream)(n[i] + (x[i] > below));
    }
    for (int32_t i = 0; i < size; i++) out[i] = levels->codes[n[i]];
}

/* `out` may begin where x does. */
APOT_INLINE void apot_threshold_body(const apot_stream_value *x, const apot_levels *levels, uint8_t *out,
                                     int32_t length) {
    apot_stream value[APOT_CHUNK] = {0};
    int32_t start = 0;
    for (; start + APOT_CHUNK <= length; start += APOT_CHUNK) {
        memcpy(value, x + start, sizeof value);
        apot_threshold_chunk(value, levels, out + start, APOT_CHUNK);
    }
    if (start == length) return;
    memcpy(value, x + start, (size_t)(length - start) * sizeof *value);
    apot_threshold_chunk(value, levels, out + start, length - start);
}

/* Sums of APOT_CHUNK values within bounds. */
APOT_INLINE void apot_add_chunk(apot_stream *a, const apot_stream *b, int32_t lowest) {
    for (int32_t i = 0; i < APOT_CHUNK; i++) {
        int32_t sum = a[i] + b[i];
        sum = sum < lowest ? lowest : sum;
        a[i] = (apot_stream)(sum > APOT_LARGEST_VALUE ? APOT_LARGEST_VALUE : sum);
    }
}

/* `out` may be x or y; without y, x alone. */
APOT_INLINE void apot_add_body(const apot_stream_value *x, const apot_stream_value *y, apot_stream_value *out,
                               const apot_flat *flat) {
    apot_stream a[APOT_CHUNK] = {0}, b[APOT_CHUNK] = {0};
    int32_t start = 0;
    for (; start + APOT_CHUNK <= flat->length; start += APOT_CHUNK) {
        memcpy(a, x + start, sizeof a);
        if (y) memcpy(b, y + start, sizeof b);
        apot_add_chunk(a, b, flat->lowest);
        memcpy(out + start, a, sizeof a);
    }
    if (start == flat->length) return;
    size_t rest = (size_t)(flat->length - start) * sizeof *a;
    memcpy(a, x + start, rest);
    if (y) memcpy(b, y + start, rest);
    apot_add_chunk(a, b, flat->lowest);
    memcpy(out + start, a, rest);
}

/* The part of a pooling window that lies on the map. */
typedef struct {
    int32_t top, bottom, left, right;
} apot_window;

APOT_INLINE apot_window apot_window_of(const apot_pool *p, int32_t row, int32_t column) {
    int32_t y = row * p->stride_y - p->pad_y, x = column * p->stride_x - p->pad_x;
    return (apot_window){y > 0 ? y : 0, y + p->height < p->in.height ? y + p->height : p->in.height,
                         x > 0 ? x : 0, x + p->width < p->in.width ? x + p->width : p->in.width};
}

APOT_INLINE void apot_max_pool_body(const apot_pool *p, const apot_stream_value *x, apot_stream_value *out) {
    for (int32_t row = 0; row < p->out.height; row++)
        for (int32_t column = 0; column < p->out.width; column++, out += p->out.pitch) {
            apot_window window = apot_window_of(p, row, column);
            for (int32_t start = 0; start < p->out.pitch; start += APOT_BLOCK) {
                int32_t size = p->out.pitch - start < APOT_BLOCK ? p->out.pitch - start : APOT_BLOCK;
                apot_stream best[APOT_BLOCK], value[APOT_BLOCK] = {0};
                for (int32_t c = 0; c < APOT_BLOCK; c++) best[c] = APOT_SMALLEST_VALUE;
                for (int32_t y = window.top; y < window.bottom; y++)
                    for (int32_t z = window.left; z < window.right; z++) {
                        const apot_stream_value *from = x + (y * p->in.width + z) * p->in.pitch + start;
                        if (size == APOT_BLOCK)
                            memcpy(value, from, sizeof value);
                        else
                            for (int32_t c = 0; c < size; c++) value[c] = from[c];
                        for (int32_t c = 0; c < APOT_BLOCK; c++) best[c] = value[c] > best[c] ? value[c] : best[c];
                    }
                for (int32_t c = 0; c < size; c++) out[start + c] = best[c];
            }
        }
}

APOT_INLINE void apot_sum_body(const apot_sum *sum, const apot_stream_value *x, apot_sum_value *out) {
    for (int32_t i = 0; i < sum->length; i++) out[i] = x[i];
    for (int32_t p = 1; p < sum->positions; p++)
        for (int32_t i = 0; i < sum->length; i++) out[i] += x[p * sum->length + i];
}

/* Partial sums fit into a logit as well: that is proved of the sum of all magnitudes. */
APOT_INLINE void apot_head_body(const apot_head *head, const apot_sum_value *x, apot_logit *logits) {
    for (int32_t o = 0; o < head->outputs; o++) {
        const int8_t *weights = head->weights + o * head->inputs;
        apot_logit sum = head->bias[o];
        for (int32_t i = 0; i < head->inputs; i++) sum += (apot_logit)weights[i] * x[i];
        logits[o] = sum;
    }
}

#endif
