/* What a network holds and computes, for tests and pictures; no program needs this to classify. */
#ifndef APOT_INSPECT_H
#define APOT_INSPECT_H

#include "network.h"

/* A layer's weights, or the codes that it reads. */
typedef struct {
    const char *name;
    uint32_t step;   /* what the weights belong to, or what computes the codes */
    int32_t shape[4]; /* of weights: outputs, inputs of a group, height, width; of codes: channels, height, width, 1 */
    apot_map map;    /* of what is read */
} apot_layer;

extern const apot_layer apot_weight_layers[], apot_code_layers[];
extern const uint32_t apot_weight_layer_count, apot_code_layer_count;

/* The weights of a layer, [output][input][row][column]. Returns 0; or 1 where a weight that only fills up a block or a
 * quad is not 0, so that the network is damaged. */
int apot_weights(uint32_t layer, int8_t *weights);

/* Classifies one image, and tells the codes of each of apot_code_layers, [channel][row][column], one after the other.
 * Returns as apot_classify_batch. */
int apot_codes(const uint8_t *pixels, apot_logit *logits, void *arena, size_t arena_bytes, uint8_t *codes);

/* For callers in other languages: channels, height, width, classes, APOT_LOGIT_BITS, APOT_ARENA_BYTES and APOT_IMAGES;
 * APOT_LOGIT_SCALE; and the fields of a layer. */
void apot_sizes(uint32_t sizes[7]);
const char *apot_logit_scale(void);
uint32_t apot_layer_count(int of_weights);
const char *apot_layer_name(int of_weights, uint32_t layer);
int32_t apot_layer_size(int of_weights, uint32_t layer, uint32_t dimension);

#endif
