/* Kernels without any multiplication of values: only shifts, additions and comparisons, as a circuit would have it. The
 * program is compiled with -DAPOT_SHIFT_ADD for them; indices are still multiplied. */
#include "apot_internal.h"

#ifdef APOT_SHIFT_ADD

#define APOT_TARGET
#include "apot_common.h"

#define APOT_MAGNITUDES 128

/* x times a weight: the sum of x shifted by each of the weight's terms. */
static int64_t shift_add(int64_t x, const apot_terms *terms) {
    int64_t product = 0;
    for (int32_t t = 0; t < terms->count; t++) {
        int64_t shifted = (int64_t)((uint64_t)x << terms->shift[t]);
        product = terms->sign[t] < 0 ? product - shifted : product + shifted;
    }
    return product;
}

/* An input is multiplied once with every magnitude; the weights say which of these products are added up or subtracted. */
static void add_products(const apot_convolution *c, const uint8_t *inputs, const int8_t *weights, int32_t width,
                         int32_t *sums) {
    int32_t products[APOT_MAGNITUDES];
    for (int32_t i = 0; i < 4; i++) {
        if (!inputs[i]) continue;
        for (int32_t m = 0; m < c->magnitudes; m++) products[m] = (int32_t)shift_add(inputs[i], &c->terms[m]);
        for (int32_t o = 0; o < width; o++) {
            int8_t weight = weights[4 * o + i];
            sums[o] = weight < 0 ? sums[o] - products[-weight] : sums[o] + products[weight];
        }
    }
}

static void sums(const apot_reading *reading, const apot_convolution *c, int32_t blocks, int32_t width, int32_t *out) {
    for (int32_t b = 0; b < blocks; b++)
        for (int32_t r = 0; r < reading->count; r++) {
            int32_t *block = out + (b * reading->count + r) * APOT_BLOCK;
            const int8_t *first = reading->weights + b * reading->block * APOT_BLOCK + reading->corner * width;
            for (int32_t o = 0; o < width; o++) block[o] = 0;
            for (int32_t y = 0; y < reading->taps_y; y++)
                for (int32_t x = 0; x < reading->taps_x; x++) {
                    const uint8_t *inputs = reading->rows[r] + y * reading->step_y + x * reading->step_x;
                    const int8_t *weights = first + (y * reading->jump_y + x * reading->jump_x) * width;
                    for (int32_t k = 0; k < reading->quads; k++)
                        add_products(c, inputs + 4 * k, weights + 4 * k * width, width, block);
                }
        }
}

static void head(const apot_head *parameters, const apot_sum_value *x, apot_logit *logits) {
    const int8_t *weights = parameters->weights;
    for (int32_t o = 0; o < parameters->outputs; o++) {
        int64_t logit = parameters->bias[o];
        for (int32_t i = 0; i < parameters->inputs; i++, weights++) {
            int64_t product = shift_add(x[i], &parameters->terms[*weights < 0 ? -*weights : *weights]);
            logit = *weights < 0 ? logit - product : logit + product;
        }
        logits[o] = (apot_logit)logit;
    }
}

const apot_kernels apot_portable = APOT_KERNELS("shifts and additions", APOT_ROWS *APOT_BLOCKS);

#else
typedef int apot_not_empty;
#endif
