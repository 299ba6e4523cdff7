/* Unpacks weights, and tells codes. */
#include "apot_inspect.h"

#include "apot_internal.h"

/* Copies the weights of a convolution from their blocks; those that are missing in `weights` must be 0. */
static int convolution_weights(const apot_convolution *c, const int32_t *shape, int8_t *weights) {
    int32_t outputs = shape[0] / c->groups, area = shape[2] * shape[3], used = 0, total = 0;
    int32_t tap_columns = shape[3] / c->kernel_width; /* columns that one tap reads, for frames of pixels */
    const apot_weight *from = c->weights;
    for (int32_t group = 0; group < c->groups; group++)
        for (int32_t start = 0; start < outputs; start += APOT_BLOCK) {
            int32_t left = (outputs - start + 3) / 4 * 4, width = left < APOT_BLOCK ? left : APOT_BLOCK;
            for (int32_t tap = 0; tap < c->kernel_height * c->kernel_width; tap++)
                for (int32_t quad = 0; quad < c->inputs / 4; quad++)
                    for (int32_t o = 0; o < width; o++)
                        for (int32_t i = 4 * quad; i < 4 * quad + 4; i++, from++) {
                            int is_real = start + o < outputs && i < shape[1] * tap_columns;
                            total += *from != 0;
                            if (!is_real) continue;
                            int32_t row = tap / c->kernel_width;
                            int32_t column = tap % c->kernel_width + i / shape[1];
                            int32_t output = group * outputs + start + o, input = i % shape[1];
                            weights[(output * shape[1] + input) * area + row * shape[3] + column] = (int8_t)*from;
                            used += *from != 0;
                        }
        }
    return used != total;
}

/* Copies those of the head, whose inputs lie as the map that they were: position after position. */
static int head_weights(const apot_head *head, const apot_map *map, int8_t *weights) {
    int32_t used = 0, total = 0, positions = map->height * map->width;
    for (int32_t o = 0; o < head->outputs; o++)
        for (int32_t i = 0; i < head->inputs; i++) {
            int8_t weight = head->weights[o * head->inputs + i];
            total += weight != 0;
            if (i % map->pitch >= map->channels) continue;
            weights[(o * map->channels + i % map->pitch) * positions + i / map->pitch] = weight;
            used += weight != 0;
        }
    return used != total;
}

int apot_weights(uint32_t layer, int8_t *weights) {
    const apot_layer *found = &apot_weight_layers[layer];
    const apot_step *step = &apot_exported.steps[found->step];
    if (step->kind == APOT_HEAD) return head_weights(step->parameters, &found->map, weights);
    return convolution_weights(step->parameters, found->shape, weights);
}

/* From position after position to channel after channel. */
static uint8_t *copy_codes(const apot_map *map, const uint8_t *from, uint8_t *codes) {
    for (int32_t c = 0; c < map->channels; c++)
        for (int32_t i = 0; i < map->height * map->width; i++) *codes++ = from[i * map->pitch + c];
    return codes;
}

int apot_codes(const uint8_t *pixels, apot_logit *logits, void *arena, size_t arena_bytes, uint8_t *codes) {
    int error = codes ? apot_check(&apot_exported, pixels, logits, arena, arena_bytes) : APOT_NULL;
    if (error) return error;
    for (uint32_t n = 0; n < apot_exported.count; n++) {
        const apot_step *step = &apot_exported.steps[n];
        apot_compute(apot_choose(), &apot_exported, step, pixels, logits, arena, 1);
        for (uint32_t layer = 0; layer < apot_code_layer_count; layer++)
            if (apot_code_layers[layer].step == n)
                codes = copy_codes(&apot_code_layers[layer].map, (const uint8_t *)arena + step->out, codes);
    }
    return 0;
}

void apot_sizes(uint32_t sizes[7]) {
    const uint32_t found[7] = {APOT_CHANNELS,   APOT_HEIGHT,      APOT_WIDTH, APOT_CLASSES,
                               APOT_LOGIT_BITS, APOT_ARENA_BYTES, APOT_IMAGES};
    for (int n = 0; n < 7; n++) sizes[n] = found[n];
}

const char *apot_logit_scale(void) { return APOT_LOGIT_SCALE; }

uint32_t apot_layer_count(int of_weights) { return of_weights ? apot_weight_layer_count : apot_code_layer_count; }

static const apot_layer *layer_of(int of_weights, uint32_t layer) {
    return of_weights ? &apot_weight_layers[layer] : &apot_code_layers[layer];
}

const char *apot_layer_name(int of_weights, uint32_t layer) { return layer_of(of_weights, layer)->name; }

int32_t apot_layer_size(int of_weights, uint32_t layer, uint32_t dimension) {
    return layer_of(of_weights, layer)->shape[dimension];
}
