/* What the files of the runtime share. */
#ifndef APOT_INTERNAL_H
#define APOT_INTERNAL_H

#include "network.h"

/* Outputs at so many positions, of one image or several, are computed at a time. */
#ifndef APOT_ROWS
#define APOT_ROWS 8
#endif
/* And so many blocks of outputs. */
#ifndef APOT_BLOCKS
#define APOT_BLOCKS 4
#endif

/* The arena is memory of no type, whatever the caller declared it as. */
#ifdef __GNUC__
#define APOT_ALIAS __attribute__((may_alias))
#define APOT_INLINE static inline __attribute__((always_inline))
#else
#define APOT_ALIAS
#define APOT_INLINE static inline
#endif
typedef apot_stream APOT_ALIAS apot_stream_value;
typedef int32_t APOT_ALIAS apot_sum_value;

/* These kernels are written for so many rows, and for a stream of 16 bits. */
#if defined __GNUC__ && defined __x86_64__ && !defined APOT_SHIFT_ADD && !defined APOT_PORTABLE && APOT_ROWS == 8 && \
    APOT_STREAM_BITS > 8
#define APOT_X86
#endif

#if defined __GNUC__ && defined __aarch64__ && defined __ARM_FEATURE_DOTPROD && \
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && !defined APOT_SHIFT_ADD && !defined APOT_PORTABLE
#define APOT_NEON
#endif

#define APOT_LARGEST_VALUE ((1 << (APOT_STREAM_BITS - 1)) - 1)
#define APOT_SMALLEST_VALUE (-APOT_LARGEST_VALUE - 1)

/* What some positions of a convolution read: the taps that lie on the map are the same ones for all of them. Distances
 * between weights are for one output: in a block of `width` outputs they are so many times larger. */
typedef struct {
    int32_t count;                  /* of positions, 1 to APOT_ROWS */
    const uint8_t *rows[APOT_ROWS]; /* what the first tap of each reads */
    int32_t taps_y, taps_x;         /* how many taps there are */
    int32_t quads;                  /* how many times 4 inputs each tap reads */
    ptrdiff_t step_y, step_x;       /* from one tap to the next, of the input */
    ptrdiff_t jump_y, jump_x;       /* from one tap to the next, of the weights */
    ptrdiff_t corner, block;        /* from a block's weights to those of the first tap, and to the next block's */
    const apot_weight *weights;     /* of the first block */
    int32_t narrow;                 /* of apot_convolution */
} apot_reading;

/* Sums of `blocks` blocks of `width` outputs each: sums[(block * count + row) * APOT_BLOCK + output]. */
typedef void apot_sums(const apot_reading *reading, const apot_convolution *convolution, int32_t blocks, int32_t width,
                       int32_t *sums);

/* Multiplies `rows` sums of a block of `width` outputs by the factor of pixels, and adds what their offset brings. */
typedef void apot_add_first(const apot_convolution *convolution, int32_t width, int32_t rows, const int32_t *const *first,
                            int32_t *sums);

/* One block of `rows` sums onto the stream or to codes; `lane` is the first output's place among what is given per output,
 * `kept` says how many outputs are stored. */
typedef void apot_finish(const apot_convolution *convolution, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                         const int32_t *sums, uint8_t *const *out);

typedef struct {
    const char *name;
    int32_t most; /* rows times blocks that are computed at a time */
    apot_sums *sums;
    apot_add_first *add_first;
    apot_finish *rescale, *compare;
    void (*threshold)(const apot_stream_value *x, const apot_levels *levels, uint8_t *out, int32_t length);
    void (*add)(const apot_stream_value *x, const apot_stream_value *y, apot_stream_value *out, const apot_flat *flat);
    void (*max_pool)(const apot_pool *pool, const apot_stream_value *x, apot_stream_value *out);
    void (*sum)(const apot_sum *sum, const apot_stream_value *x, apot_sum_value *out);
    void (*head)(const apot_head *head, const apot_sum_value *x, apot_logit *logits);
} apot_kernels;

extern const apot_kernels apot_portable;
#ifdef APOT_X86
extern const apot_kernels apot_avx2, apot_vnni;
#endif
#ifdef APOT_NEON
extern const apot_kernels apot_neon;
#endif

/* The fastest kernels that run here. */
const apot_kernels *apot_choose(void);

/* Four inputs, of which the lowest byte is the first. */
APOT_INLINE uint32_t apot_four(const uint8_t *inputs) {
    return (uint32_t)inputs[0] | (uint32_t)inputs[1] << 8 | (uint32_t)inputs[2] << 16 | (uint32_t)inputs[3] << 24;
}

/* x * factor: the only multiplication of a network beside those of codes and weights. */
APOT_INLINE int64_t apot_product(int64_t x, int32_t factor) {
#ifdef APOT_SHIFT_ADD
    int64_t sum = 0;
    for (int32_t left = factor; left; x = (int64_t)((uint64_t)x << 1), left /= 2)
        if (left % 2) {
            /* Digits 1 and -1, no two of which are neighbours: there are no fewer. */
            int32_t digit = 2 - (left & 3);
            sum += digit < 0 ? -x : x;
            left -= digit;
        }
    return sum;
#else
    return x * factor;
#endif
}

/* x >> shift, rounding down for negative x as well. */
APOT_INLINE int64_t apot_shifted(int64_t x, int32_t shift) {
#if -1 >> 1 == -1
    return x >> shift;
#else
    return x < 0 ? ~(~x >> shift) : x >> shift;
#endif
}

/* In two steps, so that compilers need no jumps, which would be hard to predict. */
APOT_INLINE int32_t apot_saturated(int64_t x, int32_t lowest) {
    int64_t y = x < lowest ? lowest : x;
    return (int32_t)(y > APOT_LARGEST_VALUE ? APOT_LARGEST_VALUE : y);
}

/* Computes a convolution of `images` images, whose values lie `stride` bytes from one another. */
void apot_convolve(const apot_kernels *kernels, const apot_convolution *convolution, const uint8_t *in, uint8_t *out,
                   size_t images, size_t stride);

/* Computes one step of `images` images, of pixels or of what lies in the arena. */
void apot_compute(const apot_kernels *kernels, const apot_network *network, const apot_step *step, const uint8_t *pixels,
                  apot_logit *logits, uint8_t *arena, size_t images);

/* APOT_NULL and so on, or 0. */
int apot_check(const apot_network *network, const uint8_t *pixels, const apot_logit *logits, const void *arena,
               size_t arena_bytes);

#endif
