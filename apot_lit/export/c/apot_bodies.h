/* What kernels compute, in plain C. Each kernel's file compiles this for its own instructions; loops of constant length
 * over local arrays are what compilers turn into vector instructions. */
#ifndef APOT_BODIES_H
#define APOT_BODIES_H

#include "apot_internal.h"

#define APOT_CHUNK 64
#define APOT_MANY 32 /* so many thresholds are searched rather than counted */

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

APOT_INLINE void apot_rescale_body(const apot_convolution *c, int32_t lane, int32_t kept, int32_t rows,
                                   const int32_t *sums, uint8_t *const *out) {
    for (int32_t r = 0; r < rows; r++) {
        apot_stream_value *y = (apot_stream_value *)(void *)out[r];
        for (int32_t o = 0; o < kept; o++) {
            int64_t product = apot_product(sums[r * APOT_BLOCK + o], c->multiplier[lane + o]) + c->bias[lane + o];
            y[o] = (apot_stream)apot_saturated(apot_shifted(product, c->shift[lane + o]), c->lowest);
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

/* `out` may begin where x does. */
APOT_INLINE void apot_threshold_body(const apot_stream_value *x, const apot_levels *levels, uint8_t *out,
                                     int32_t length) {
    for (int32_t start = 0; start < length; start += APOT_CHUNK) {
        int32_t size = length - start < APOT_CHUNK ? length - start : APOT_CHUNK;
        apot_stream value[APOT_CHUNK] = {0}, n[APOT_CHUNK] = {0};
        for (int32_t i = 0; i < size; i++) value[i] = x[start + i];
        if (levels->count > APOT_MANY)
            for (int32_t i = 0; i < size; i++) {
                int32_t first = 0, count = levels->count;
                while (count > 0) {
                    int32_t half = count / 2, is_reached = value[i] > levels->below[first + half];
                    first += is_reached ? half + 1 : 0;
                    count = is_reached ? count - half - 1 : half;
                }
                out[start + i] = levels->codes[first];
            }
        else {
            for (int32_t t = 0; t < levels->count; t++) {
                apot_stream below = levels->below[t];
                for (int32_t i = 0; i < APOT_CHUNK; i++) n[i] = (apot_stream)(n[i] + (value[i] > below));
            }
            for (int32_t i = 0; i < size; i++) out[start + i] = levels->codes[n[i]];
        }
    }
}

/* `out` may be x or y; without y, x alone. */
APOT_INLINE void apot_add_body(const apot_stream_value *x, const apot_stream_value *y, apot_stream_value *out,
                               const apot_flat *flat) {
    for (int32_t start = 0; start < flat->length; start += APOT_CHUNK) {
        int32_t size = flat->length - start < APOT_CHUNK ? flat->length - start : APOT_CHUNK;
        apot_stream a[APOT_CHUNK] = {0}, b[APOT_CHUNK] = {0};
        for (int32_t i = 0; i < size; i++) a[i] = x[start + i];
        for (int32_t i = 0; y && i < size; i++) b[i] = y[start + i];
        for (int32_t i = 0; i < APOT_CHUNK; i++) {
            int32_t sum = a[i] + b[i];
            sum = sum < flat->lowest ? flat->lowest : sum;
            a[i] = (apot_stream)(sum > APOT_LARGEST_VALUE ? APOT_LARGEST_VALUE : sum);
        }
        for (int32_t i = 0; i < size; i++) out[start + i] = a[i];
    }
}

/* `out` may begin where x does, if no value is written before the last window that it lies in is read. */
APOT_INLINE void apot_max_pool_body(const apot_pool *p, const apot_stream_value *x, apot_stream_value *out) {
    for (int32_t row = 0; row < p->out.height; row++)
        for (int32_t column = 0; column < p->out.width; column++) {
            int32_t y = row * p->stride_y - p->pad_y, z = column * p->stride_x - p->pad_x;
            int32_t y_end = y + p->height < p->in.height ? y + p->height : p->in.height;
            int32_t z_end = z + p->width < p->in.width ? z + p->width : p->in.width;
            if (y < 0) y = 0;
            if (z < 0) z = 0;
            apot_stream_value *to = out + (row * p->out.width + column) * p->out.pitch;
            for (int32_t start = 0; start < p->out.pitch; start += APOT_BLOCK) {
                int32_t size = p->out.pitch - start < APOT_BLOCK ? p->out.pitch - start : APOT_BLOCK;
                apot_stream best[APOT_BLOCK];
                for (int32_t c = 0; c < APOT_BLOCK; c++) best[c] = APOT_SMALLEST_VALUE;
                for (int32_t i = y; i < y_end; i++)
                    for (int32_t j = z; j < z_end; j++) {
                        const apot_stream_value *from = x + (i * p->in.width + j) * p->in.pitch + start;
                        if (size == APOT_BLOCK)
                            for (int32_t c = 0; c < APOT_BLOCK; c++) best[c] = from[c] > best[c] ? from[c] : best[c];
                        else
                            for (int32_t c = 0; c < size; c++) best[c] = from[c] > best[c] ? from[c] : best[c];
                    }
                for (int32_t c = 0; c < size; c++) to[start + c] = best[c];
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
