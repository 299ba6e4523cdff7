/* Runs the steps of a network. Weights are multiplied with codes of two positions at once: one product of 32 bits is two of
 * 16. */
#include <string.h>

#include "apot_micro_sums.h"

_Static_assert((-3 >> 1) == -2, "shifts to the right must keep the sign");

#define APOT_LARGEST_VALUE ((1 << (APOT_STREAM_BITS - 1)) - 1)
#define APOT_SMALLEST_VALUE (-APOT_LARGEST_VALUE - 1)

int8_t apot_weight(const apot_weights *w, uint32_t output, uint32_t input) {
    const uint8_t *eight = w->rows + (output * w->eights + input / 8) * w->bits;
    return (int8_t)weight_of(eight, word_of(eight, w->bits), w->levels, w->bits, input % 8);
}

static int32_t saturated(int64_t value) {
    if (value > APOT_LARGEST_VALUE) return APOT_LARGEST_VALUE;
    return value < APOT_SMALLEST_VALUE ? APOT_SMALLEST_VALUE : (int32_t)value;
}

/* A sum onto the stream. */
static int32_t rescaled(const apot_convolution *c, uint32_t output, int32_t sum) {
    const uint8_t *channel = c->channels + output * (3u + c->bias_bytes);
    int32_t multiplier = (int16_t)(uint16_t)(channel[0] | channel[1] << 8), n = c->bias_bytes + 2;
    int64_t bias = (int8_t)channel[n];
    while (--n > 2) bias = bias * 256 + channel[n];
    return saturated(((int64_t)sum * multiplier + bias) >> channel[2]);
}

/* How many thresholds a value reaches. */
static uint32_t index_of(const apot_levels *levels, int32_t value) {
    uint32_t reached = 0, end = levels->count;
    while (reached < end) {
        uint32_t middle = (reached + end) / 2;
        if (value > levels->below[middle])
            reached = middle + 1;
        else
            end = middle;
    }
    return reached;
}

static void put_code(const apot_levels *levels, uint8_t *out, uint32_t position, uint32_t channels, uint32_t channel,
                     int32_t value) {
    uint32_t index = index_of(levels, value);
    if (levels->codes) {
        out[position * channels + channel] = levels->codes[index];
        return;
    }
    out += position * ((channels + 1) / 2) + channel / 2;
    *out = (uint8_t)(channel % 2 ? *out | index << 4 : index);
}

/* Puts a value into all windows that hold its position. */
static void pool(const apot_convolution *c, apot_stream_value *out, int32_t position, uint32_t output, int32_t value) {
    int32_t y = position / c->out_width + c->pool_pad_y, x = position % c->out_width + c->pool_pad_x;
    for (int32_t row = y / c->pool_stride_y; row >= 0 && row * c->pool_stride_y + c->window_y > y; row--)
        for (int32_t column = x / c->pool_stride_x; column >= 0 && column * c->pool_stride_x + c->window_x > x; column--)
            if (row < c->pool_height && column < c->pool_width) {
                apot_stream_value *largest = out + (row * c->pool_width + column) * c->outputs + output;
                if (value > *largest) *largest = (apot_stream)value;
            }
}

/* Stores one sum. */
static void finish(const apot_convolution *c, uint8_t *arena, uint32_t position, uint32_t output, int32_t sum) {
    uint32_t place = position * c->outputs + output;
    int32_t value = rescaled(c, output, sum);
    if (c->flags & APOT_RELU && value < 0) value = 0;
    if (c->flags & APOT_ADD) value = saturated(value + ((const apot_stream_value *)(arena + c->added))[place]);
    if (c->flags & APOT_ADD_RELU && value < 0) value = 0;
    if (c->flags & APOT_POOL)
        pool(c, (apot_stream_value *)(arena + c->out), (int32_t)position, output, value);
    else if (c->flags & APOT_CODES)
        put_code(&c->levels, arena + c->out, position, c->outputs, output, value);
    else
        ((apot_stream_value *)(arena + c->out))[place] = (apot_stream)value;
}

/* What one tap reads, as the first of a pair, with nothing as the second yet, or as the second. */
APOT_INLINE void put_half(apot_pair *pair, uint32_t half, uint32_t code) { *pair = half ? *pair | code << 16 : code; }

APOT_INLINE void gather_half(const apot_convolution *c, const uint8_t *in, apot_pair *patch, uint32_t half) {
    const uint8_t *codes = c->input_codes;
    apot_pair *end = patch + c->inputs;
    if (!in) {
        while (patch < end) put_half(patch++, half, 0);
    } else if (!codes) {
        while (patch < end) put_half(patch++, half, *in++);
    } else {
        for (; patch + 1 < end; patch += 2) {
            uint32_t two = *in++;
            put_half(patch, half, codes[two & 15]);
            put_half(patch + 1, half, codes[two >> 4]);
        }
        if (patch < end) put_half(patch, half, codes[*in & 15]);
    }
}

static void gather_codes(const apot_convolution *c, const uint8_t *in, apot_pair *patch, uint32_t half) {
    if (half)
        gather_half(c, in, patch, 1);
    else
        gather_half(c, in, patch, 0);
}

static void gather_pixels(const apot_convolution *c, const uint8_t *in, apot_value *patch) {
    for (uint32_t i = 0; i < c->inputs; i++, in += in ? c->in_height * c->in_width : 0)
        patch[i] = in ? c->factor * *in - c->offset : 0;
}

/* All that one position reads: tap after tap, the channels of each together. */
static void gather(const apot_convolution *c, const uint8_t *in, uint32_t position, uint8_t *patch, uint32_t half) {
    int32_t y = (int32_t)(position / c->out_width) * c->stride_y - c->pad_y;
    int32_t left = (int32_t)(position % c->out_width) * c->stride_x - c->pad_x;
    uint32_t pitch = c->flags & APOT_OF_PIXELS ? 1u : c->input_codes ? (c->inputs + 1u) / 2 : c->inputs;
    for (int32_t ky = 0; ky < c->kernel_y; ky++, y++)
        for (int32_t kx = 0, x = left; kx < c->kernel_x; kx++, x++, patch += c->inputs * sizeof(apot_pair)) {
            int is_within = y >= 0 && y < c->in_height && x >= 0 && x < c->in_width;
            const uint8_t *from = is_within ? in + ((uint32_t)y * c->in_width + (uint32_t)x) * pitch : NULL;
            if (c->flags & APOT_OF_PIXELS)
                gather_pixels(c, from, (apot_value *)patch);
            else
                gather_codes(c, from, (apot_pair *)patch, half);
        }
}

static void convolve(const apot_convolution *c, const uint8_t *pixels, uint8_t *arena) {
    uint8_t *patch = arena + c->patch;
    uint32_t positions = (uint32_t)c->out_height * c->out_width, together;
    memset(patch, 0, 8 * sizeof(apot_pair) * c->weights.eights);
    if (c->flags & APOT_POOL) {
        apot_stream_value *out = (apot_stream_value *)(arena + c->out);
        for (uint32_t n = 0; n < (uint32_t)c->pool_height * c->pool_width * c->outputs; n++) out[n] = APOT_SMALLEST_VALUE;
    }
    for (uint32_t position = 0; position < positions; position += together) {
        if (c->flags & APOT_OF_PIXELS) {
            together = 1;
            gather(c, pixels, position, patch, 0);
        } else {
            together = position + 1 < positions ? 2 : 1;
            for (uint32_t half = 0; half < together; half++) gather(c, arena + c->in, position + half, patch, half);
        }
        for (uint32_t output = 0; output < c->outputs; output++) {
            int32_t sums[2];
            if (c->flags & APOT_OF_PIXELS)
                sums[0] = (int32_t)sum_of(&c->weights, output, (const apot_value *)patch);
            else
                pair_sums(&c->weights, output, (const apot_pair *)patch, sums);
            for (uint32_t half = 0; half < together; half++) finish(c, arena, position + half, output, sums[half]);
        }
    }
}

static void threshold(const apot_threshold *t, uint8_t *arena) {
    const apot_stream_value *in = (const apot_stream_value *)(arena + t->in);
    for (uint32_t position = 0; position < t->positions; position++)
        for (uint32_t channel = 0; channel < t->channels; channel++)
            put_code(&t->levels, arena + t->out, position, t->channels, channel, *in++);
}

static void sum(const apot_sum *s, uint8_t *arena) {
    const apot_stream_value *a = (const apot_stream_value *)(arena + s->in);
    const apot_stream_value *b = (const apot_stream_value *)(arena + s->added);
    apot_stream_value *out = (apot_stream_value *)(arena + s->out);
    for (uint32_t n = 0; n < s->length; n++) {
        int32_t value = s->flags & APOT_ADD ? saturated(a[n] + b[n]) : a[n];
        out[n] = (apot_stream)(s->flags & APOT_RELU && value < 0 ? 0 : value);
    }
}

static void head(const apot_head *h, uint8_t *arena, apot_logit *logits) {
    const apot_stream_value *in = (const apot_stream_value *)(arena + h->in);
    apot_value *sums = (apot_value *)(arena + h->patch);
    memset(sums, 0, 8 * sizeof *sums * h->weights.eights);
    for (uint32_t position = 0; position < h->positions; position++)
        for (uint32_t channel = 0; channel < h->inputs; channel++) sums[channel] += *in++;
    for (uint32_t output = 0; output < h->outputs; output++)
        logits[output] = h->bias[output] + sum_of(&h->weights, output, sums);
}

void apot_compute(const apot_step *step, const uint8_t *pixels, apot_logit *logits, uint8_t *arena) {
    switch (step->kind) {
        case APOT_CONVOLUTION: convolve(step->parameters, pixels, arena); break;
        case APOT_THRESHOLD: threshold(step->parameters, arena); break;
        case APOT_SUM: sum(step->parameters, arena); break;
        default: head(step->parameters, arena, logits); break;
    }
}

int apot_classify(const uint8_t *pixels, apot_logit *logits, void *arena, size_t arena_bytes) {
    if (!pixels || !logits || !arena) return APOT_NULL;
    if ((uintptr_t)arena % APOT_ALIGNMENT) return APOT_UNALIGNED;
    if (arena_bytes < APOT_ARENA_BYTES) return APOT_SMALL_ARENA;
    for (uint32_t n = 0; n < apot_step_count; n++) apot_compute(&apot_steps[n], pixels, logits, arena);
    int best = 0;
    for (int n = 1; n < APOT_CLASSES; n++)
        if (logits[n] > logits[best]) best = n;
    return best;
}
