/* Tells weights and codes, for verification. */
#include "apot_micro_inspect.h"

void apot_sizes(uint32_t sizes[6]) {
    const uint32_t found[6] = {APOT_CHANNELS, APOT_HEIGHT, APOT_WIDTH, APOT_CLASSES, APOT_LOGIT_BITS, APOT_ARENA_BYTES};
    for (int n = 0; n < 6; n++) sizes[n] = found[n];
}

uint32_t apot_layer_count(int of_weights) { return of_weights ? apot_weight_layer_count : apot_code_layer_count; }

static const apot_layer *layer_of(int of_weights, uint32_t layer) {
    return of_weights ? &apot_weight_layers[layer] : &apot_code_layers[layer];
}

const char *apot_layer_name(int of_weights, uint32_t layer) { return layer_of(of_weights, layer)->name; }

uint32_t apot_layer_size(int of_weights, uint32_t layer, uint32_t dimension) {
    return layer_of(of_weights, layer)->shape[dimension];
}

/* Those of a convolution and of the head begin with their weights. */
void apot_layer_weights(uint32_t layer, int8_t *weights) {
    const apot_layer *found = &apot_weight_layers[layer];
    const apot_weights *packed = apot_steps[found->step].parameters;
    const uint32_t *shape = found->shape, taps = shape[2] * shape[3];
    for (uint32_t output = 0; output < shape[0]; output++)
        for (uint32_t input = 0; input < shape[1]; input++)
            for (uint32_t tap = 0; tap < taps; tap++)
                *weights++ = apot_weight(packed, output, tap * shape[1] + input);
}

int apot_codes(const uint8_t *pixels, apot_logit *logits, uint8_t *arena, uint8_t *codes) {
    for (uint32_t n = 0; n < apot_step_count; n++) {
        apot_compute(&apot_steps[n], pixels, logits, arena);
        for (uint32_t layer = 0; layer < apot_code_layer_count; layer++) {
            const apot_layer *found = &apot_code_layers[layer];
            if (found->step != n) continue;
            uint32_t channels = found->shape[0], positions = found->shape[1] * found->shape[2];
            const uint8_t *out = arena + found->place;
            for (uint32_t channel = 0; channel < channels; channel++)
                for (uint32_t position = 0; position < positions; position++) {
                    uint8_t byte = out[position * (found->codes ? (channels + 1) / 2 : channels) +
                                       (found->codes ? channel / 2 : channel)];
                    *codes++ = found->codes ? found->codes[channel % 2 ? byte >> 4 : byte & 15] : byte;
                }
        }
    }
    return 0;
}
