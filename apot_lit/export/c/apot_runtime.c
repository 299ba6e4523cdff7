/* Runs the steps of a network. */
#include <string.h>

#include "apot_internal.h"

const apot_kernels *apot_choose(void) {
#ifdef APOT_X86
#ifndef APOT_AVX2
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return &apot_vnni;
#endif
    if (__builtin_cpu_supports("avx2")) return &apot_avx2;
#endif
#ifdef APOT_NEON
    return &apot_neon;
#else
    return &apot_portable;
#endif
}

const char *apot_kernels_name(void) { return apot_choose()->name; }

int apot_largest(const apot_logit *logits, uint32_t classes) {
    int best = 0;
    for (int n = 1; n < (int)classes; n++)
        if (logits[n] > logits[best]) best = n;
    return best;
}

int apot_check(const apot_network *network, const uint8_t *pixels, const apot_logit *logits, const void *arena,
               size_t arena_bytes) {
    if (!network || !pixels || !logits || !arena) return APOT_NULL;
    if (network->magic != APOT_MAGIC || network->version != APOT_VERSION || network->size != sizeof *network)
        return APOT_FOREIGN;
    if ((uintptr_t)arena % APOT_ALIGNMENT) return APOT_UNALIGNED;
    return arena_bytes < network->arena ? APOT_SMALL_ARENA : 0;
}

/* A frame of one image. */
static void frame(const apot_frame *f, const uint8_t *pixels, uint8_t *out) {
    int32_t channels = f->out.channels, plane = f->height * f->width, line = f->out.width * f->out.pitch;
    memset(out, f->value, (size_t)(f->out.height * line));
    for (int32_t y = 0; y < f->height; y++, pixels += f->width) {
        uint8_t *to = out + (y + f->pad_y) * line + f->pad_x * f->out.pitch;
        if (f->out.pitch == 1)
            memcpy(to, pixels, (size_t)f->width);
        else
            for (int32_t x = 0; x < f->width; x++, to += f->out.pitch)
                for (int32_t c = 0; c < channels; c++) to[c] = pixels[c * plane + x];
    }
}

/* Batch norm of what is on the stream already. */
static void rescale(const apot_rescale *rescaling, const apot_stream_value *x, apot_stream_value *out) {
    const apot_map *map = &rescaling->map;
    for (int32_t i = 0; i < map->height * map->width; i++, x += map->pitch, out += map->pitch)
        for (int32_t c = 0; c < map->pitch; c++) {
            int64_t product = apot_product(x[c], rescaling->multiplier[c]) + rescaling->bias[c];
            out[c] = (apot_stream)apot_saturated(apot_shifted(product, rescaling->shift[c]), rescaling->lowest);
        }
}

/* Means over windows. */
static void average(const apot_average *p, const apot_stream_value *x, apot_stream_value *out) {
    const apot_map *to = &p->windows.out, *from = &p->windows.in;
    for (int32_t row = 0; row < to->height; row++)
        for (int32_t column = 0; column < to->width; column++, out += to->pitch) {
            int32_t top = row * p->windows.stride_y - p->windows.pad_y, bottom = top + p->windows.height;
            int32_t left = column * p->windows.stride_x - p->windows.pad_x, right = left + p->windows.width;
            if (bottom > from->height) bottom = from->height;
            if (right > from->width) right = from->width;
            for (int32_t c = 0; c < to->pitch; c++) {
                int32_t sum = 0;
                for (int32_t y = top > 0 ? top : 0; y < bottom; y++)
                    for (int32_t z = left > 0 ? left : 0; z < right; z++) sum += x[(y * from->width + z) * from->pitch + c];
                int64_t product = apot_product(sum, p->multiplier) + p->bias;
                out[c] = (apot_stream)apot_saturated(apot_shifted(product, p->shift), p->lowest);
            }
        }
}

static void clip(const apot_clip *p, const apot_stream_value *x, apot_stream_value *out) {
    for (int32_t i = 0; i < p->length; i++) {
        int32_t value = x[i] < p->lowest ? p->lowest : x[i];
        out[i] = (apot_stream)(value > p->highest ? p->highest : value);
    }
}

static void copy(const apot_copy *p, const apot_stream_value *x, apot_stream_value *out) {
    int32_t positions = p->out.height * p->out.width;
    if (p->fills) memset(out, 0, (size_t)(positions * p->out.pitch) * sizeof *out);
    for (out += p->first; positions > 0; positions--, out += p->out.pitch, x += p->repeats ? 0 : p->in.pitch)
        for (int32_t c = 0; c < p->in.channels; c++) out[c] = x[c];
}

/* Codes as numbers of 32 bits. */
static void widen(const apot_sum *p, const uint8_t *codes, apot_sum_value *out) {
    for (int32_t i = 0; i < p->length; i++) out[i] = codes[i];
}

/* Any step but a convolution, of one image. */
static void compute_one(const apot_kernels *kernels, const apot_step *step, const uint8_t *pixels, apot_logit *logits,
                        uint8_t *arena) {
    const void *a = arena + step->a, *parameters = step->parameters;
    void *out = arena + step->out;
    switch (step->kind) {
        case APOT_FRAME: frame(parameters, pixels, out); break;
        case APOT_RESCALE: rescale(parameters, a, out); break;
        case APOT_ADD: kernels->add(a, (const void *)(arena + step->b), out, parameters); break;
        case APOT_RELU: kernels->add(a, NULL, out, parameters); break;
        case APOT_MAX_POOL: kernels->max_pool(parameters, a, out); break;
        case APOT_THRESHOLD: {
            const apot_threshold *threshold = parameters;
            kernels->threshold(a, &threshold->levels, out, threshold->length);
            break;
        }
        case APOT_SUM: kernels->sum(parameters, a, out); break;
        case APOT_HEAD: kernels->head(parameters, a, logits); break;
        case APOT_AVERAGE: average(parameters, a, out); break;
        case APOT_CLIP: clip(parameters, a, out); break;
        case APOT_COPY: copy(parameters, (const void *)(arena + step->b), out); break;
        case APOT_WIDEN: widen(parameters, a, out); break;
        case APOT_CONVOLUTION: break;
    }
}

void apot_compute(const apot_kernels *kernels, const apot_network *network, const apot_step *step, const uint8_t *pixels,
                  apot_logit *logits, uint8_t *arena, size_t images) {
    if (step->kind == APOT_CONVOLUTION)
        apot_convolve(kernels, step->parameters, arena + step->a, arena + step->out, images, network->arena);
    else
        for (size_t n = 0; n < images; n++)
            compute_one(kernels, step, pixels + n * network->pixels, logits + n * network->classes,
                        arena + n * network->arena);
}

int apot_run(const apot_network *network, const uint8_t *pixels, size_t count, apot_logit *logits, void *arena,
             size_t arena_bytes) {
    int error = apot_check(network, pixels, logits, arena, arena_bytes);
    if (error) return error;
    const apot_kernels *kernels = apot_choose();
    size_t at_once = arena_bytes / network->arena;
    for (size_t images; count; count -= images) {
        images = count < at_once ? count : at_once;
        for (uint32_t n = 0; n < network->count; n++)
            apot_compute(kernels, network, &network->steps[n], pixels, logits, arena, images);
        pixels += images * network->pixels;
        logits += images * network->classes;
    }
    return 0;
}

#ifndef APOT_STACK_BYTES
#define APOT_STACK_BYTES 65536
#endif
#ifdef APOT_STATIC_ARENA
#define APOT_STORAGE static
#elif APOT_ARENA_BYTES > APOT_STACK_BYTES
#define APOT_STORAGE static _Thread_local
#else
#define APOT_STORAGE
#endif

int apot_classify(const uint8_t *pixels, apot_logit *logits) {
    APOT_STORAGE apot_arena arena;
    int error = apot_classify_batch(pixels, 1, logits, &arena, sizeof arena);
    return error ? error : apot_largest(logits, APOT_CLASSES);
}

int apot_classify_batch(const uint8_t *pixels, size_t count, apot_logit *logits, void *arena, size_t arena_bytes) {
    return apot_run(&apot_exported, pixels, count, logits, arena, arena_bytes);
}
