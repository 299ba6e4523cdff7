/* Classifies images of files or of the standard input: each gives a line of its class and all logits. What goes wrong is told
 * in one line on standard error, and the exit status is 1. */
#include <stdio.h>
#include <string.h>

#include "network.h"

static const char *const HELP =
    "usage: network [--help] [--raw] [FILE]...\n"
    "\n"
    "Classifies images of %d x %d pixels, %d byte(s) each: a line for each image, with its class and all logits.\n"
    "Without FILE, or where FILE is -, images come from the standard input.\n"
    "\n"
    "Files are PGM (P5; P6 for three bytes a pixel), IDX, or raw: one image after the other, [channel][row][column].\n"
    "--raw takes every file as raw, whatever it begins with.\n";

static uint8_t image[APOT_PIXELS];

static int fail(const char *name, const char *what) {
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", name, what);
    return 1;
}

/* Classifies what is in `image`. */
static int print_class(const char *name) {
    apot_logit logits[APOT_CLASSES];
    int found = apot_classify(image, logits);
    if (found < 0) return fail(name, "the network can't be run");
    printf("%d", found);
    for (int n = 0; n < APOT_CLASSES; n++) printf(" %lld", (long long)logits[n]);
    return putchar('\n') == EOF || ferror(stdout) ? fail("standard output", "can't be written") : 0;
}

/* Reads up to `count` bytes. */
static size_t read_bytes(FILE *file, uint8_t *bytes, size_t count) { return fread(bytes, 1, count, file); }

static int cut_short(const char *name, FILE *file, long number, size_t found) {
    if (ferror(file)) return fail(name, "can't be read");
    fflush(stdout);
    fprintf(stderr, "%s: image %ld is cut short: %zu of %d bytes\n", name, number, found, APOT_PIXELS);
    return 1;
}

/* Raw images, the first bytes of which have been read already; `count` of them, or all if that is below 0. */
static int raw(const char *name, FILE *file, const uint8_t *begin, size_t begun, long count) {
    for (long n = 0; n != count; n++) {
        size_t found = begun < APOT_PIXELS ? begun : APOT_PIXELS;
        memcpy(image, begin, found);
        begin += found;
        begun -= found;
        found += read_bytes(file, image + found, APOT_PIXELS - found);
        if (found == 0 && count < 0 && !ferror(file)) return 0;
        if (found < APOT_PIXELS) return cut_short(name, file, n, found);
        if (print_class(name)) return 1;
    }
    return fgetc(file) == EOF ? 0 : fail(name, "goes on after its last image");
}

/* A number of big-endian bytes. */
static unsigned long number_of(const uint8_t *bytes) {
    return (unsigned long)bytes[0] << 24 | (unsigned long)bytes[1] << 16 | (unsigned long)bytes[2] << 8 | bytes[3];
}

/* IDX with three dimensions (images, rows, columns) or four (with channels), behind its first four bytes. */
static int idx(const char *name, FILE *file, int dimensions) {
    uint8_t sizes[16];
    size_t bytes = 4 * (size_t)dimensions;
    if (read_bytes(file, sizes, bytes) != bytes) return fail(name, "its header is cut short");
    unsigned long channels = dimensions == 4 ? number_of(sizes + 4) : 1, count = number_of(sizes);
    if (channels != APOT_CHANNELS || number_of(sizes + bytes - 8) != APOT_HEIGHT || number_of(sizes + bytes - 4) != APOT_WIDTH)
        return fail(name, "its images have another size than the network's");
    return raw(name, file, sizes, 0, (long)count);
}

/* The next number in the header of a PGM, or -1; behind it is one white space. */
static long header_number(FILE *file) {
    int c = fgetc(file);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '#') {
        while (c == '#' && (c = fgetc(file)) != '\n' && c != EOF) c = '#';
        c = fgetc(file);
    }
    long number = -1;
    for (; c >= '0' && c <= '9' && number < 100000; c = fgetc(file)) number = (number < 0 ? 0 : number) * 10 + (c - '0');
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' ? number : -1;
}

/* PGM or PPM, one or several, of which the first letter and digit have been read. */
static int pnm(const char *name, FILE *file, int digit) {
    for (long n = 0;; n++) {
        long width = header_number(file), height = header_number(file), largest = header_number(file);
        if (digit != (APOT_CHANNELS == 3 ? '6' : '5') || (APOT_CHANNELS != 1 && APOT_CHANNELS != 3))
            return fail(name, "has another number of channels than the network");
        if (width < 0 || height < 0 || largest < 0) return fail(name, "its header can't be read");
        if (width != APOT_WIDTH || height != APOT_HEIGHT) return fail(name, "has another size than the network's images");
        if (largest != 255) return fail(name, "its largest value must be 255");
        for (size_t i = 0; i < APOT_PIXELS; i++) {
            int c = fgetc(file);
            if (c == EOF) return cut_short(name, file, n, i);
            image[i % APOT_CHANNELS * (APOT_PIXELS / APOT_CHANNELS) + i / APOT_CHANNELS] = (uint8_t)c;
        }
        if (print_class(name)) return 1;
        int c = fgetc(file);
        while (c == ' ' || c == '\t' || c == '\n' || c == '\r') c = fgetc(file);
        if (c == EOF) return ferror(file) ? fail(name, "can't be read") : 0;
        if (c != 'P') return fail(name, "goes on after its last image");
        digit = fgetc(file);
    }
}

static int classify(const char *name, FILE *file, int only_raw) {
    uint8_t begin[4] = {0};
    size_t found = only_raw ? 0 : read_bytes(file, begin, 2);
    if (found == 2 && begin[0] == 'P' && (begin[1] == '5' || begin[1] == '6')) return pnm(name, file, begin[1]);
    if (found == 2) found += read_bytes(file, begin + 2, 2);
    if (found == 4 && !begin[0] && !begin[1] && begin[2] == 8 && (begin[3] == 3 || begin[3] == 4))
        return idx(name, file, begin[3]);
    return raw(name, file, begin, found, -1);
}

int main(int count, char **arguments) {
    int only_raw = 0, names = 0, status = 0;
    for (int n = 1; n < count; n++) {
        if (!strcmp(arguments[n], "--help")) return printf(HELP, APOT_HEIGHT, APOT_WIDTH, APOT_CHANNELS) < 0;
        if (!strcmp(arguments[n], "--raw")) only_raw = 1;
        else if (arguments[n][0] == '-' && arguments[n][1]) return fail(arguments[n], "no such option; --help shows them");
        else names++;
    }
    if (!names) status = classify("standard input", stdin, only_raw);
    for (int n = 1; n < count && !status; n++) {
        if (arguments[n][0] == '-' && arguments[n][1]) continue;
        int is_input = !strcmp(arguments[n], "-");
        FILE *file = is_input ? stdin : fopen(arguments[n], "rb");
        if (!file) return fail(arguments[n], "can't be opened");
        status = classify(is_input ? "standard input" : arguments[n], file, only_raw);
        if (!is_input) fclose(file);
    }
    if (fflush(stdout) && !status) status = fail("standard output", "can't be written");
    return status;
}
