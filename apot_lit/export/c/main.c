/* Reads images as raw uint8 pixels from standard input and writes the logits of each as float32 to standard output.
 * With a number as argument, all activation codes of so many first images follow the logits of each. */
#include <stdio.h>
#include <stdlib.h>

#include "network.h"

static uint8_t *kept;
static long kept_count;

static void keep(const uint8_t *codes, long count) {
    kept = realloc(kept, (size_t)(kept_count + count));
    for (long i = 0; i < count; i++) kept[kept_count + i] = codes[i];
    kept_count += count;
}

int main(int count, char **arguments) {
    const apot_network *network = &apot_exported;
    long with_codes = count > 1 ? atol(arguments[1]) : 0;
    uint8_t *image = malloc((size_t)network->pixels);
    void *workspace = malloc((size_t)network->workspace);
    int32_t *accumulators = malloc((size_t)network->accumulators * sizeof *accumulators);
    if (!image || !workspace || !accumulators) return 1;
    for (long n = 0; fread(image, 1, (size_t)network->pixels, stdin) == (size_t)network->pixels; n++) {
        kept_count = 0;
        apot_on_codes = n < with_codes ? keep : 0;
        const float *logits = apot_run(network, image, workspace, accumulators);
        fwrite(logits, sizeof *logits, (size_t)network->classes, stdout);
        fwrite(kept, 1, (size_t)kept_count, stdout);
    }
    return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
