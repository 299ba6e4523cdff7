/* Runs a network of integers on a microcontroller: no floating point, no heap, no state, nothing but the freestanding C
 * library. Weights are indices of levels in as few bits as these take. network.h, which includes this file, defines the
 * sizes of the network. */
#ifndef APOT_MICRO_H
#define APOT_MICRO_H

#include <stddef.h>
#include <stdint.h>

/* What is returned in place of a class. */
enum apot_error {
    APOT_NULL = -1,        /* a pointer is null */
    APOT_SMALL_ARENA = -2, /* the arena has less than APOT_ARENA_BYTES */
    APOT_UNALIGNED = -3    /* the arena does not begin at a multiple of APOT_ALIGNMENT */
};

#define APOT_ALIGNMENT 4

#if APOT_LOGIT_BITS == 32
typedef int32_t apot_logit;
#else
typedef int64_t apot_logit;
#endif

/* What batch norms and sums give is on the stream: fixed point, saturating. */
#if APOT_STREAM_BITS == 8
typedef int8_t apot_stream;
#else
typedef int16_t apot_stream;
#endif

/* Where something lies in the arena, in bytes. */
#if APOT_ARENA_BYTES < 65536
typedef uint16_t apot_place;
#else
typedef uint32_t apot_place;
#endif

/* Rows of weights, one for each output, of `eights` times eight inputs, which take `bits` bytes. The arrays that hold them
 * have three bytes more, since four are read at a time. */
typedef struct {
    const uint8_t *rows;
    const int8_t *levels; /* of the indices; null: weights are bytes, two's complement */
    uint16_t eights;
    uint16_t narrow; /* the products of so many eights add up within 16 bits; 0 if not even those of one do */
    uint8_t bits;
} apot_weights;

/* Codes of a map. Those of at most 16 levels are indices, two in a byte: the first channel's in the low half. Others are
 * bytes, the codes themselves. */
typedef struct {
    const apot_stream *below; /* a threshold is reached where the value is greater than this */
    const uint8_t *codes;     /* of the indices; null: what is stored are indices */
    uint8_t count;            /* of thresholds */
} apot_levels;

enum apot_flag {
    APOT_RELU = 1,     /* values below 0 become 0 */
    APOT_ADD = 2,      /* then a map of the stream is added */
    APOT_ADD_RELU = 4, /* and values below 0 become 0 */
    APOT_POOL = 8,     /* then the largest value of each window is taken */
    APOT_CODES = 16,   /* what is stored are codes, not the stream */
    APOT_OF_PIXELS = 32   /* what is read are pixels */
};

/* A convolution, and all that is done to its sums before they are stored. Maps lie position after position, the channels
 * of each together. */
typedef struct {
    apot_weights weights;
    const uint8_t *channels;    /* of each output: multiplier in two bytes, shift, bias in `bias_bytes`; low bytes first */
    const uint8_t *input_codes; /* of the indices that are read; null: bytes, the codes themselves */
    apot_levels levels;         /* of what is stored */
    apot_place in, added, out, patch;
    int32_t factor, offset; /* what is read of a pixel: factor * pixel - offset */
    uint16_t inputs, outputs, in_height, in_width, out_height, out_width, pool_height, pool_width;
    uint8_t kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x;
    uint8_t window_y, window_x, pool_stride_y, pool_stride_x, pool_pad_y, pool_pad_x;
    uint8_t bias_bytes, flags;
} apot_convolution;

typedef struct {
    apot_levels levels;
    apot_place in, out;
    uint16_t positions, channels;
} apot_threshold;

/* A sum of two maps of the stream, or one alone. */
typedef struct {
    apot_place in, added, out;
    uint32_t length;
    uint8_t flags;
} apot_sum;

/* Sums over positions, and logits of them. */
typedef struct {
    apot_weights weights;
    const apot_logit *bias;
    apot_place in, patch;
    uint16_t positions, inputs, outputs;
} apot_head;

typedef enum { APOT_CONVOLUTION, APOT_THRESHOLD, APOT_SUM, APOT_HEAD } apot_kind;

typedef struct {
    const void *parameters;
    uint8_t kind;
} apot_step;

extern const apot_step apot_steps[];
extern const uint8_t apot_step_count;

/* Memory for what lies between steps. */
typedef struct {
    _Alignas(APOT_ALIGNMENT) uint8_t bytes[APOT_ARENA_BYTES];
} apot_arena;

/* Classifies an image.
 *
 * pixels: APOT_PIXELS bytes, [channel][row][column].
 * logits: APOT_CLASSES of them are written.
 * arena: at least APOT_ARENA_BYTES, free for other use between calls.
 * Returns the class, which is that of the first of the largest logits, or an error below 0. */
int apot_classify(const uint8_t *pixels, apot_logit *logits, void *arena, size_t arena_bytes);

/* One step of it. */
void apot_compute(const apot_step *step, const uint8_t *pixels, apot_logit *logits, uint8_t *arena);

/* The weight of an input of a row. */
int8_t apot_weight(const apot_weights *weights, uint32_t output, uint32_t input);

#endif
