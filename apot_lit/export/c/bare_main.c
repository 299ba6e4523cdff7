/* Classifies the images of a file that the host passes, one after the other, each [channel][row][column]: a line for each with
 * its class and all logits, then how many there were, ticks per image, and the most bytes of stack. */
#include "cortex_m.h"
#include "network.h"

#define LONGEST 24 /* letters of a number */

static apot_arena arena;
static uint8_t pixels[APOT_PIXELS];
static int output;

/* Writes a number at the end of a line of `length` letters; returns the new length. No division: digits are counted off. */
static size_t put_number(char *line, size_t length, apot_logit number) {
    static const apot_logit powers[] = {
#if APOT_LOGIT_BITS == 64
        1000000000000000000, 100000000000000000, 10000000000000000, 1000000000000000, 100000000000000,
        10000000000000, 1000000000000, 100000000000, 10000000000,
#endif
        1000000000, 100000000, 10000000, 1000000, 100000, 10000, 1000, 100, 10, 1,
    };
    int is_begun = 0;
    if (number < 0) line[length++] = '-';
    for (size_t n = 0; n < sizeof powers / sizeof *powers; n++) {
        char digit = '0';
        /* Below 0 there is room for the magnitude of every number. */
        if (number > 0) number = -number;
        for (; number <= -powers[n]; number += powers[n]) digit++;
        is_begun |= digit > '0' || powers[n] == 1;
        if (is_begun) line[length++] = digit;
    }
    return length;
}

static int put_line(const apot_logit *numbers, size_t count) {
    char line[LONGEST * (APOT_CLASSES + 1)];
    size_t length = 0;
    for (size_t n = 0; n < count; n++) {
        length = put_number(line, length, numbers[n]);
        line[length++] = n + 1 < count ? ' ' : '\n';
    }
    return host_write(output, line, length);
}

int main(void) {
    char name[256];
    uint32_t ticks = 0, stack = 0, count = 0;
    output = host_open(":tt", 1);
    int images = host_arguments(name, sizeof name) ? host_open(name, 0) : -1;
    if (images < 0) return 1;
    for (size_t found; (found = host_read(images, pixels, sizeof pixels)) > 0; count++) {
        apot_logit line[1 + APOT_CLASSES];
        if (found < sizeof pixels) return 1;
        uint32_t before = ticks_now();
        line[0] = apot_classify(pixels, line + 1, &arena, sizeof arena);
        ticks += ticks_since(before);
        if (!count) stack = stack_bytes();
        if (line[0] < 0 || !put_line(line, 1 + APOT_CLASSES)) return 1;
    }
    const apot_logit facts[3] = {(apot_logit)count, (apot_logit)(count ? ticks / count : 0), (apot_logit)stack};
    return !put_line(facts, 3);
}
