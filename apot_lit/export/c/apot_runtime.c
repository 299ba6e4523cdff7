#include "apot_runtime.h"

#include <float.h>
#include <string.h>

/* Every product and every sum is rounded to float by itself, as in torch: none are fused, whatever the flags. */
#if defined __GNUC__ && !defined __clang__
#pragma GCC optimize("fp-contract=off")
#else
#pragma STDC FP_CONTRACT OFF
#endif
#if defined __FAST_MATH__ || !(FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 16)
#error "needs IEEE floats: compile without -ffast-math, and for SSE rather than x87"
#endif

void (*apot_on_codes)(const uint8_t *codes, long count) = 0;

static long size(apot_shape s) { return (long)s.channels * s.height * s.width; }

/* Products of v with all weights that occur, by shifts and additions; products[WEIGHTS + w] is that of w. */
#define WEIGHTS 128
static void multiply(const apot_convolution *c, int32_t v, int32_t *products) {
    for (int m = 0; m < c->magnitude_count; m++) {
        int magnitude = c->magnitudes[m];
        const apot_terms *terms = &c->terms[magnitude];
        int32_t sum = 0;
        for (int t = 0; t < terms->count; t++) {
            int32_t shifted = (int32_t)((uint32_t)v << terms->shift[t]);
            sum = terms->sign[t] < 0 ? sum - shifted : sum + shifted;
        }
        products[WEIGHTS + magnitude] = sum;
        products[WEIGHTS - magnitude] = -sum;
    }
}

/* Position of the output that reads input position `in` with a kernel's tap, or -1. */
static int reader(int in, int tap, int stride, int pad, int dilation, int outputs) {
    int shifted = in + pad - tap * dilation;
    if (shifted < 0 || shifted % stride) return -1;
    return shifted / stride < outputs ? shifted / stride : -1;
}

/* Every input that is not 0 is multiplied once with each weight value, and added to all outputs that read it.
 * Padding contributes nothing: it stands for the code 0, or for the pixel zero_point. */
static void codes_convolution(const apot_convolution *c, const uint8_t *x, float *out, int32_t *sums) {
    int plane = c->out.height * c->out.width, channels = c->out.channels, outputs = channels / c->groups;
    int inputs = c->in.channels / c->groups;
    long taps = (long)c->kernel_height * c->kernel_width * outputs;
    int32_t products[2 * WEIGHTS];
    int32_t last = 0; /* whose products are there: neighbours are often equal, as the background of an image is */
    products[WEIGHTS] = 0;
    memset(sums, 0, (size_t)plane * (size_t)channels * sizeof *sums);
    for (int i = 0; i < c->in.channels; i++)
        for (int y = 0; y < c->in.height; y++)
            for (int z = 0; z < c->in.width; z++) {
                int32_t v = (int32_t)*x++ - c->zero_point;
                if (!v) continue;
                if (v != last) multiply(c, last = v, products);
                const int8_t *codes = c->codes + i * taps;
                for (int ky = 0; ky < c->kernel_height; ky++) {
                    int row = reader(y, ky, c->stride_y, c->pad_y, c->dilation_y, c->out.height);
                    for (int kx = 0; kx < c->kernel_width; kx++, codes += outputs) {
                        int column = reader(z, kx, c->stride_x, c->pad_x, c->dilation_x, c->out.width);
                        if (row < 0 || column < 0) continue;
                        int32_t *sum = sums + (long)(row * c->out.width + column) * channels + i / inputs * outputs;
                        for (int o = 0; o < outputs; o++) sum[o] += products[WEIGHTS + codes[o]];
                    }
                }
            }
    for (int o = 0; o < channels; o++)
        for (int p = 0; p < plane; p++)
            out[(long)o * plane + p] = (float)sums[(long)p * channels + o] * c->scale + (c->bias ? c->bias[o] : 0);
}

static void float_convolution(const apot_convolution *c, const float *x, float *out) {
    int inputs = c->in.channels / c->groups, taps = inputs * c->kernel_height * c->kernel_width;
    for (int o = 0; o < c->out.channels; o++)
        for (int y = 0; y < c->out.height; y++)
            for (int z = 0; z < c->out.width; z++) {
                int first = o / (c->out.channels / c->groups) * inputs;
                float sum = 0;
                for (int tap = 0; tap < taps; tap++) {
                    int kx = tap % c->kernel_width, ky = tap / c->kernel_width % c->kernel_height;
                    int i = tap / (c->kernel_width * c->kernel_height);
                    int row = y * c->stride_y - c->pad_y + ky * c->dilation_y;
                    int column = z * c->stride_x - c->pad_x + kx * c->dilation_x;
                    if (row < 0 || row >= c->in.height || column < 0 || column >= c->in.width) continue;
                    float weight = c->codes ? c->codes[(long)o * taps + tap] : c->weights[(long)o * taps + tap];
                    sum += weight * x[((long)(first + i) * c->in.height + row) * c->in.width + column];
                }
                out[((long)o * c->out.height + y) * c->out.width + z] = sum * c->scale + (c->bias ? c->bias[o] : 0);
            }
}

static void linear(const apot_linear *l, const float *x, float *out) {
    for (int o = 0; o < l->outputs; o++) {
        float sum = 0;
        for (int i = 0; i < l->inputs; i++)
            sum += (l->codes ? l->codes[(long)o * l->inputs + i] : l->weights[(long)o * l->inputs + i]) * x[i];
        out[o] = sum * l->scale + (l->bias ? l->bias[o] : 0);
    }
}

static void quantize(const apot_quantizer *q, const float *x, uint8_t *codes, long count) {
    for (long i = 0; i < count; i++) {
        float half = x[i] * q->factor;
        codes[i] = q->table[half > 0 ? (int)(half < q->limit ? half : q->limit) : 0];
    }
    if (apot_on_codes) apot_on_codes(codes, count);
}

static void max_pool(const apot_pool *p, const float *x, float *out) {
    for (int c = 0; c < p->out.channels; c++)
        for (int y = 0; y < p->out.height; y++)
            for (int z = 0; z < p->out.width; z++) {
                float best = 0;
                int any = 0;
                for (int ky = 0; ky < p->height; ky++)
                    for (int kx = 0; kx < p->width; kx++) {
                        int row = y * p->stride_y - p->pad_y + ky, column = z * p->stride_x - p->pad_x + kx;
                        if (row < 0 || row >= p->in.height || column < 0 || column >= p->in.width) continue;
                        float value = x[((long)c * p->in.height + row) * p->in.width + column];
                        if (!any || value > best) best = value;
                        any = 1;
                    }
                out[((long)c * p->out.height + y) * p->out.width + z] = best;
            }
}

static void average_pool(const apot_pool *p, const float *x, float *out) {
    int plane = p->in.height * p->in.width;
    for (int c = 0; c < p->in.channels; c++) {
        float sum = 0;
        for (int i = 0; i < plane; i++) sum += x[(long)c * plane + i];
        out[c] = sum / (float)plane;
    }
}

const float *apot_run(const apot_network *network, const uint8_t *image, void *workspace, int32_t *accumulators) {
    char *values = workspace;
    for (int n = 0; n < network->count; n++) {
        const apot_step *step = &network->steps[n];
        const void *a = step->a < 0 ? (const void *)image : values + step->a;
        const float *x = a, *y = (const float *)(values + step->b);
        float *out = (float *)(values + step->out);
        long count = size(step->shape);
        switch (step->kind) {
            case APOT_CODES_CONVOLUTION: codes_convolution(step->parameters, a, out, accumulators); break;
            case APOT_FLOAT_CONVOLUTION: float_convolution(step->parameters, x, out); break;
            case APOT_LINEAR: linear(step->parameters, x, out); break;
            case APOT_QUANTIZE: quantize(step->parameters, x, (uint8_t *)out, count); break;
            case APOT_AFFINE: {
                const apot_affine *affine = step->parameters;
                long plane = (long)step->shape.height * step->shape.width;
                for (long i = 0; i < count; i++) out[i] = x[i] * affine->factor[i / plane] + affine->offset[i / plane];
                break;
            }
            case APOT_RELU: for (long i = 0; i < count; i++) out[i] = x[i] > 0 ? x[i] : 0; break;
            case APOT_ADD: for (long i = 0; i < count; i++) out[i] = x[i] + y[i]; break;
            case APOT_MAX_POOL: max_pool(step->parameters, x, out); break;
            case APOT_AVERAGE_POOL: average_pool(step->parameters, x, out); break;
            case APOT_NORMALIZE: {
                const apot_normalization *scaling = step->parameters;
                const uint8_t *pixels = a;
                for (long i = 0; i < count; i++) out[i] = ((float)pixels[i] - scaling->offset) * scaling->scale;
                break;
            }
        }
    }
    return (const float *)(values + network->logits);
}
