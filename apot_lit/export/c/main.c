/* Reads images as raw uint8 pixels from standard input and writes the logits of each as float32 to standard output.
 * With a number as argument, all activation codes of so many first images follow the logits of each. What goes wrong is
 * told in one line on standard error, and the exit status is 1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"

static uint8_t *codes;
static size_t codes_count;

static void keep(const uint8_t *tensor, long count) {
    memcpy(codes + codes_count, tensor, (size_t)count);
    codes_count += (size_t)count;
}

/* Activation codes of one image. */
static size_t count_codes(const apot_network *network) {
    size_t count = 0;
    for (int n = 0; n < network->count; n++) {
        apot_shape shape = network->steps[n].shape;
        if (network->steps[n].kind == APOT_QUANTIZE)
            count += (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
    }
    return count;
}

static int run(const apot_network *network, long with_codes, uint8_t *image, void *workspace, int32_t *accumulators) {
    size_t pixels = (size_t)network->pixels, classes = (size_t)network->classes, found;
    long n = 0;
    for (; (found = fread(image, 1, pixels, stdin)) == pixels; n++) {
        codes_count = 0;
        apot_on_codes = n < with_codes ? keep : 0;
        const float *logits = apot_run(network, image, workspace, accumulators);
        if (fwrite(logits, sizeof *logits, classes, stdout) != classes) break;
        if (codes_count && fwrite(codes, 1, codes_count, stdout) != codes_count) break;
    }
    if (fflush(stdout) || ferror(stdout)) return fprintf(stderr, "the output can't be written\n"), 1;
    if (ferror(stdin)) return fprintf(stderr, "the input can't be read\n"), 1;
    if (found) return fprintf(stderr, "image %ld is cut short: %zu of %zu bytes\n", n, found, pixels), 1;
    return 0;
}

int main(int count, char **arguments) {
    const apot_network *network = &apot_exported;
    uint8_t *image = malloc((size_t)network->pixels);
    void *workspace = malloc((size_t)network->workspace);
    int32_t *accumulators = malloc((size_t)network->accumulators * sizeof *accumulators);
    codes = malloc(count_codes(network) + 1); /* a network in floats has none */
    int status = 1;
    if (image && workspace && accumulators && codes)
        status = run(network, count > 1 ? atol(arguments[1]) : 0, image, workspace, accumulators);
    else
        fprintf(stderr, "there is not enough memory\n");
    free(image);
    free(workspace);
    free(accumulators);
    free(codes);
    return status;
}
