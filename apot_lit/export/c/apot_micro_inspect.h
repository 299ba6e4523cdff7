/* What verification asks of an exported network; a program that classifies needs none of it. */
#ifndef APOT_MICRO_INSPECT_H
#define APOT_MICRO_INSPECT_H

#include "network.h"

/* The weights of a layer, or the codes that it reads. */
typedef struct {
    const char *name;
    uint32_t step, shape[4]; /* of weights: outputs, inputs, rows, columns; of codes: channels, rows, columns */
    uint32_t place;          /* of codes in the arena */
    const uint8_t *codes;    /* of the indices; null: bytes, the codes themselves */
} apot_layer;

extern const apot_layer apot_weight_layers[], apot_code_layers[];
extern const uint32_t apot_weight_layer_count, apot_code_layer_count;

void apot_sizes(uint32_t sizes[6]);
uint32_t apot_layer_count(int of_weights);
const char *apot_layer_name(int of_weights, uint32_t layer);
uint32_t apot_layer_size(int of_weights, uint32_t layer, uint32_t dimension);

/* Weights [output][input][row][column]. */
void apot_layer_weights(uint32_t layer, int8_t *weights);

/* Classifies an image, and tells the codes of all layers: [channel][row][column] of each. */
int apot_codes(const uint8_t *pixels, apot_logit *logits, uint8_t *arena, uint8_t *codes);

#endif
