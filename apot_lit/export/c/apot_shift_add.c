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

/* Numbers at so many positions, side by side. */
typedef struct {
    uint32_t at[APOT_ROWS];
} apot_row;

/* Products of an input of each position and all weights there may be, minus the largest magnitude to the largest. */
APOT_INLINE void multiply(const apot_row *input, const apot_terms *terms, int32_t magnitudes, apot_row *products) {
    apot_row *plus = products + magnitudes, *minus = plus;
    for (int32_t m = 0; m < magnitudes; m++, plus++, minus--) {
        apot_row product = {{0}};
        for (int32_t t = 0; t < terms[m].count; t++)
            for (int32_t r = 0; r < APOT_ROWS; r++) {
                uint32_t shifted = input->at[r] << terms[m].shift[t];
                product.at[r] = terms[m].sign[t] < 0 ? product.at[r] - shifted : product.at[r] + shifted;
            }
        *plus = product;
        for (int32_t r = 0; r < APOT_ROWS; r++) minus->at[r] = 0 - product.at[r];
    }
}

/* Sums of one block. An input is multiplied once with every magnitude; weights say which of the products are added up. */
static void block_sums(const apot_reading *reading, const apot_convolution *c, const int8_t *weights, int32_t width,
                       int32_t *out) {
    apot_row sums[APOT_BLOCK] = {{{0}}}, input = {{0}}, products[2 * APOT_MAGNITUDES];
    const apot_row *product = products + c->magnitudes; /* of the weight 0 */
    for (int32_t y = 0; y < reading->taps_y; y++)
        for (int32_t x = 0; x < reading->taps_x; x++) {
            ptrdiff_t offset = y * reading->step_y + x * reading->step_x;
            const int8_t *tap = weights + (y * reading->jump_y + x * reading->jump_x) * width;
            for (int32_t i = 0; i < 4 * reading->quads; i++) {
                uint32_t any = 0;
                for (int32_t r = 0; r < reading->count; r++) any |= input.at[r] = reading->rows[r][offset + i];
                if (!any) continue;
                multiply(&input, c->terms, c->magnitudes, products);
                for (int32_t o = 0; o < width; o++) {
                    const apot_row *added = product + tap[i / 4 * 4 * width + 4 * o + i % 4];
                    for (int32_t r = 0; r < APOT_ROWS; r++) sums[o].at[r] += added->at[r];
                }
            }
        }
    for (int32_t r = 0; r < reading->count; r++)
        for (int32_t o = 0; o < width; o++) out[r * APOT_BLOCK + o] = (int32_t)sums[o].at[r];
}

static void sums(const apot_reading *reading, const apot_convolution *c, int32_t blocks, int32_t width, int32_t *out) {
    for (int32_t b = 0; b < blocks; b++) {
        const int8_t *weights = reading->weights + b * reading->block * APOT_BLOCK + reading->corner * width;
        block_sums(reading, c, weights, width, out + b * reading->count * APOT_BLOCK);
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
