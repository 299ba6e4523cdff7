/* Runs a network of integers: no floating point, no heap, no state, nothing but the freestanding C library.
 * network.h, which includes this file, defines the sizes of the network and what its logits are. */
#ifndef APOT_RUNTIME_H
#define APOT_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#define APOT_MAGIC 0x544f5041u /* "APOT" */
#define APOT_VERSION 1u

/* What is returned in place of a class. */
enum apot_error {
    APOT_NULL = -1,        /* a pointer is null */
    APOT_SMALL_ARENA = -2, /* the arena has less than APOT_ARENA_BYTES */
    APOT_UNALIGNED = -3,   /* the arena does not begin at a multiple of APOT_ALIGNMENT */
    APOT_FOREIGN = -4      /* the network has another magic number, version or size than this runtime knows */
};

#if APOT_LOGIT_BITS == 32
typedef int32_t apot_logit;
#else
typedef int64_t apot_logit;
#endif

/* Values in the arena. What batch norms, sums and pooling give is on the stream: fixed point, saturating. */
#if APOT_STREAM_BITS == 8
typedef int8_t apot_stream;
#else
typedef int16_t apot_stream;
#endif

/* Weights of convolutions. Without further instructions, x86-64 multiplies 16 bits: where nothing else is compiled in,
 * weights are stored as it takes them, instead of being taken apart over and over. */
#if defined APOT_PORTABLE && defined __SSE2__ && defined __GNUC__ && !defined APOT_SHIFT_ADD && !defined APOT_PLAIN
#define APOT_WIDE
typedef int16_t apot_weight;
#else
typedef int8_t apot_weight;
#endif

#define APOT_ALIGNMENT 16

/* Outputs of convolutions are computed in blocks of so many; the last block of a group may be narrower, of 4, 8 or 12.
 * Weights are laid out as [group][block][row][column][input / 4][output within the block][input % 4]; what is given per
 * output, in order of the blocks. */
#define APOT_BLOCK 16

/* Maps lie position after position, the channels of each together; `pitch` is how far one position is from the next. */
typedef struct {
    int32_t height, width, channels, pitch;
} apot_map;

/* Pixels [channel][row][column] to a map with an edge around it. */
typedef struct {
    apot_map out;
    int32_t height, width, pad_y, pad_x, value; /* of the image; `value` stands at the edge */
} apot_frame;

/* A magnitude of weights as a sum of powers of two with signs. */
#define APOT_MAX_TERMS 4
typedef struct {
    uint8_t count;
    uint8_t shift[APOT_MAX_TERMS];
    int8_t sign[APOT_MAX_TERMS];
} apot_terms;

/* Outputs from `begin` to `end` - 1 along one direction, for all of which taps `first` to `last` - 1 lie on the map. */
typedef struct {
    int32_t begin, end, first, last;
} apot_range;

typedef struct {
    int32_t count;
    const apot_range *ranges;
} apot_ranges;

/* One set of thresholds: the code is codes[number of those that are less than the value]. */
typedef struct {
    int32_t count;
    const apot_stream *below; /* a threshold is reached where the value is greater than this */
    const uint8_t *codes;
} apot_levels;

/* Numbers that a multiplier, a bias and a shift are taken apart into, see apot_finish.h. */
#define APOT_PARTS 4

/* Sums of products, and what becomes of them: the stream, by (sum * multiplier + bias) >> shift; or codes, by thresholds
 * of each output. */
typedef struct {
    apot_map in, out;
    int32_t kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x, groups;
    apot_ranges rows, columns;
    int32_t inputs;      /* that one tap of a group reads, a multiple of 4: further ones have the weight 0 */
    int32_t narrow;      /* so many times 4 products stay within 16 bits, two of each 4 added up; 0 if not even one does */
    int32_t factor;      /* sum = factor * products + first: the offset of pixels */
    const int32_t *first; /* [class][output], or null */
    const uint16_t *classes; /* of each position, or null where there is one */
    const apot_weight *weights;
    const apot_terms *terms; /* of the weights' magnitudes; null but for multiplication by shifts */
    int32_t magnitudes;             /* how many */
    const int16_t *multiplier; /* null if codes are made */
    const int64_t *bias;
    const uint8_t *shift;
    int32_t lowest;            /* of what is put onto the stream: 0 where a ReLU follows */
    const int32_t *parts;      /* of multiplier, bias and shift: [block][APOT_PARTS][output within the block] */
    const int32_t *thresholds; /* [block][threshold][output within the block] */
    const int16_t *thresholds_16; /* the same, where all of them fit into 16 bits, or null */
    const int8_t *signs;       /* 0, or -1 where it is minus the sum that is compared */
    apot_levels levels;        /* without thresholds */
} apot_convolution;

/* (value * multiplier + bias) >> shift of each channel, from stream to stream. */
typedef struct {
    apot_map map;
    const int16_t *multiplier;
    const int64_t *bias;
    const uint8_t *shift;
    int32_t lowest;
} apot_rescale;

typedef struct {
    int32_t length, lowest;
} apot_flat; /* a sum of two, or a ReLU */

typedef struct {
    int32_t length;
    apot_levels levels;
} apot_threshold;

typedef struct {
    apot_map in, out;
    int32_t height, width, stride_y, stride_x, pad_y, pad_x;
} apot_pool;

/* Means over windows: (sum * multiplier + bias) >> shift. What is beyond the map counts as 0. */
typedef struct {
    apot_pool windows;
    int32_t multiplier, shift, lowest;
    int64_t bias;
} apot_average;

typedef struct {
    int32_t length, lowest, highest;
} apot_clip;

/* Channels of one map among those of a larger one, at every position. */
typedef struct {
    apot_map in, out;
    int32_t first;        /* of the larger map's channels that they become */
    int32_t repeats;      /* whether one position is copied to every position */
    int32_t fills;        /* whether the larger map is set to 0 before */
} apot_copy;

typedef struct { /* values that are `length` apart are added up */
    int32_t positions, length;
} apot_sum;

typedef struct {
    int32_t inputs, outputs;
    const int8_t *weights; /* [output][input] */
    const apot_logit *bias;
    const apot_terms *terms; /* as above */
} apot_head;

typedef enum {
    APOT_FRAME,
    APOT_CONVOLUTION,
    APOT_RESCALE,
    APOT_ADD,
    APOT_RELU,
    APOT_MAX_POOL,
    APOT_THRESHOLD,
    APOT_SUM,
    APOT_HEAD,
    APOT_AVERAGE,
    APOT_CLIP,
    APOT_COPY,
    APOT_WIDEN /* codes as sums, like APOT_SUM of one position */
} apot_kind;

typedef struct {
    apot_kind kind;
    uint32_t a, b, out; /* where values lie in the arena, in bytes */
    const void *parameters;
} apot_step;

typedef struct {
    uint32_t magic, version, size; /* size: of this structure */
    uint32_t arena, pixels, classes;
    uint32_t count;
    const apot_step *steps;
} apot_network;

/* Memory for what lies between steps, of one image. */
typedef struct {
    _Alignas(APOT_ALIGNMENT) uint8_t bytes[APOT_ARENA_BYTES];
} apot_arena;

/* The network of network.c. */
extern const apot_network apot_exported;

/* Classifies an image of APOT_PIXELS bytes, [channel][row][column]. The arena is on the stack or, if it is larger than
 * APOT_STACK_BYTES or APOT_STATIC_ARENA is defined, static: one for each thread in the former case, one alone in the latter.
 *
 * logits: APOT_CLASSES of them are written.
 * Returns the class, which is that of the first of the largest logits, or an error below 0. */
int apot_classify(const uint8_t *pixels, apot_logit *logits);

/* Classifies several images.
 *
 * logits: [count][APOT_CLASSES].
 * arena: working memory of the caller. As many images are computed side by side as arenas fit into it, APOT_IMAGES being
 *     a good number: small maps are computed faster so.
 * Returns 0, or an error below 0. */
int apot_classify_batch(const uint8_t *pixels, size_t count, apot_logit *logits, void *arena, size_t arena_bytes);

/* The same for any network. */
int apot_run(const apot_network *network, const uint8_t *pixels, size_t count, apot_logit *logits, void *arena,
             size_t arena_bytes);

/* The first of the largest logits. */
int apot_largest(const apot_logit *logits, uint32_t classes);

/* Which kernels run here. */
const char *apot_kernels_name(void);

#endif
