/* Runs a network whose convolutions are shifts and adds of integers. Needs nothing but the C standard library. */
#ifndef APOT_RUNTIME_H
#define APOT_RUNTIME_H

#include <stdint.h>

/* A weight of magnitude m is the sum of `count` powers of two, each with a sign: m = sum(sign * 2^shift). */
#define APOT_MAX_TERMS 4
typedef struct {
    uint8_t count;
    uint8_t shift[APOT_MAX_TERMS];
    int8_t sign[APOT_MAX_TERMS];
} apot_terms;

typedef struct { /* sizes of one image's value: channels, height, width */
    int channels, height, width;
} apot_shape;

typedef struct { /* out = scale * conv(in - zero_point, weight) + bias */
    apot_shape in, out;
    int kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x, groups;
    int zero_point;
    const int8_t *codes;       /* integer weights; [group][in][height][width][out] if the input is codes too, else as below */
    const apot_terms *terms;   /* by magnitude of a code */
    const uint8_t *magnitudes; /* those that occur but 0 */
    int magnitude_count;
    const float *weights;      /* float weights [out][in][height][width] where the layer is not quantised, or null */
    float scale;
    const float *bias;        /* per output channel, or null */
} apot_convolution;

typedef struct { /* out = scale * (weight * in) + bias, in floats */
    int inputs, outputs;
    const int8_t *codes;
    const float *weights;
    float scale;
    const float *bias;
} apot_linear;

typedef struct { /* code = table[trunc(clip(x * factor, 0, limit))] */
    float factor, limit;
    const uint8_t *table;
} apot_quantizer;

typedef struct { /* x * factor + offset per channel */
    const float *factor, *offset;
} apot_affine;

typedef struct {
    int height, width, stride_y, stride_x, pad_y, pad_x;
    apot_shape in, out;
} apot_pool;

typedef struct { /* (pixel - offset) * scale */
    float offset, scale;
} apot_normalization;

typedef enum {
    APOT_CODES_CONVOLUTION, /* uint8 in: activation codes or pixels */
    APOT_FLOAT_CONVOLUTION,
    APOT_LINEAR,
    APOT_QUANTIZE,
    APOT_AFFINE,
    APOT_RELU,
    APOT_ADD,
    APOT_MAX_POOL,
    APOT_AVERAGE_POOL,
    APOT_NORMALIZE
} apot_kind;

typedef struct {
    apot_kind kind;
    long a, b, out;    /* offsets of values in the workspace, in bytes; a < 0 is the image */
    apot_shape shape;  /* of the output, for steps that have no parameters of their own */
    const void *parameters;
} apot_step;

typedef struct {
    const apot_step *steps;
    int count;
    long workspace;    /* bytes */
    long accumulators; /* int32 sums of the largest convolution of codes */
    long logits;       /* offset of the result */
    int classes;
    int pixels;
} apot_network;

/* Called with every tensor of activation codes, if it is not null. */
extern void (*apot_on_codes)(const uint8_t *codes, long count);

/* Computes the logits of one image of uint8 pixels. `workspace` has network->workspace bytes, aligned as float is,
 * `accumulators` network->accumulators elements; the logits lie in the workspace. */
const float *apot_run(const apot_network *network, const uint8_t *image, void *workspace, int32_t *accumulators);

#endif
