/* Convolutions: positions that read the same taps are computed together, of one image or of several. */
#include "apot_internal.h"

typedef struct {
    const apot_kernels *kernels;
    const apot_convolution *convolution;
    const uint8_t *in;
    uint8_t *out;
    size_t images, stride;
    int32_t group, lanes; /* lanes: outputs of a group, rounded up to whole quads */
} apot_task;

/* The outputs of a group at some positions. */
static void compute_rows(const apot_task *task, apot_reading *reading, const int32_t *positions, const size_t *offsets) {
    const apot_convolution *c = task->convolution;
    int32_t outputs = c->out.channels / c->groups, at_once = task->kernels->most / reading->count;
    size_t bytes = c->multiplier ? sizeof(apot_stream) : 1;
    int32_t sums[APOT_ROWS * APOT_BLOCKS * APOT_BLOCK];
    uint8_t *out[APOT_ROWS];
    const int32_t *first[APOT_ROWS];
    if (at_once > APOT_BLOCKS) at_once = APOT_BLOCKS;
    for (int32_t start = 0, blocks; start < task->lanes; start += blocks * APOT_BLOCK) {
        int32_t left = task->lanes - start, width = left < APOT_BLOCK ? left : APOT_BLOCK;
        blocks = left / APOT_BLOCK < at_once ? left / APOT_BLOCK : at_once;
        if (blocks < 1) blocks = 1; /* one that is narrower, or more rows than are computed at a time */
        reading->weights = c->weights + (task->group * task->lanes + start) * reading->block;
        task->kernels->sums(reading, c, blocks, width, sums);
        for (int32_t b = 0; b < blocks; b++) {
            int32_t output = start + b * APOT_BLOCK, lane = task->group * task->lanes + output;
            int32_t *block = sums + b * reading->count * APOT_BLOCK;
            size_t channel = (size_t)(task->group * outputs + output);
            /* The next group's outputs lie right behind; without one, what fills up the last quad is stored, too. */
            int32_t kept = c->groups > 1 && outputs - output < width ? outputs - output : width;
            for (int32_t r = 0; r < reading->count; r++) {
                if (c->first)
                    first[r] = c->first + (c->classes ? c->classes[positions[r]] : 0) * c->groups * task->lanes + lane;
                out[r] = task->out + offsets[r] + ((size_t)positions[r] * (size_t)c->out.pitch + channel) * bytes;
            }
            if (c->first) task->kernels->add_first(c, width, reading->count, first, block);
            (c->multiplier ? task->kernels->rescale : task->kernels->compare)(c, lane, width, kept, reading->count, block,
                                                                              out);
        }
    }
}

/* The outputs of a group at all positions of a rectangle, throughout which the same taps lie on the map. */
static void compute_rectangle(const apot_task *task, const apot_range *y, const apot_range *x) {
    const apot_convolution *c = task->convolution;
    ptrdiff_t tap = c->inputs, pitch = c->in.pitch, line = pitch * c->in.width;
    apot_reading reading = {.count = 0,
                            .taps_y = y->last - y->first,
                            .taps_x = x->last - x->first,
                            .quads = c->inputs / 4,
                            .step_y = line * c->dilation_y,
                            .step_x = pitch * c->dilation_x,
                            .jump_y = tap * c->kernel_width,
                            .jump_x = tap,
                            .corner = (y->first * c->kernel_width + x->first) * tap,
                            .block = tap * c->kernel_width * c->kernel_height,
                            .narrow = c->narrow};
    if (reading.step_x == tap && reading.taps_x > 0) { /* what the taps of a row read lies side by side */
        reading.quads *= reading.taps_x;
        reading.taps_x = 1;
    }
    int32_t positions[APOT_ROWS];
    size_t offsets[APOT_ROWS];
    int is_reading = reading.taps_y > 0 && reading.taps_x > 0;
    for (int32_t row = y->begin; row < y->end; row++) {
        ptrdiff_t from = (row * c->stride_y - c->pad_y + y->first * c->dilation_y) * line +
                         (x->begin * c->stride_x - c->pad_x + x->first * c->dilation_x) * pitch +
                         task->group * (c->in.channels / c->groups);
        int32_t position = row * c->out.width + x->begin, end = row * c->out.width + x->end;
        for (; position < end; position++, from += c->stride_x * pitch)
            for (size_t offset = 0; offset < task->images * task->stride; offset += task->stride) {
                reading.rows[reading.count] = task->in + offset + (is_reading ? from : 0);
                positions[reading.count] = position;
                offsets[reading.count] = offset;
                if (++reading.count == APOT_ROWS) {
                    compute_rows(task, &reading, positions, offsets);
                    reading.count = 0;
                }
            }
    }
    if (reading.count) compute_rows(task, &reading, positions, offsets);
}

void apot_convolve(const apot_kernels *kernels, const apot_convolution *c, const uint8_t *in, uint8_t *out, size_t images,
                   size_t stride) {
    int32_t lanes = (c->out.channels / c->groups + 3) / 4 * 4;
    apot_task task = {kernels, c, in, out, images, stride, 0, lanes};
    for (; task.group < c->groups; task.group++)
        for (int32_t y = 0; y < c->rows.count; y++)
            for (int32_t x = 0; x < c->columns.count; x++)
                compute_rectangle(&task, &c->rows.ranges[y], &c->columns.ranges[x]);
}
