/* The kernels that are the same for all instructions but for what the compiler makes of them; included by each kernel's
 * file, with APOT_TARGET as the attribute of its functions. */
#include "apot_bodies.h"

APOT_TARGET static void sum(const apot_sum *parameters, const apot_stream_value *x, apot_sum_value *out) {
    apot_sum_body(parameters, x, out);
}

#ifndef APOT_OWN_LOOPS
#ifndef APOT_PAIRS
APOT_TARGET static void add(const apot_stream_value *x, const apot_stream_value *y, apot_stream_value *out,
                            const apot_flat *flat) {
    apot_add_body(x, y, out, flat);
}
#endif

APOT_TARGET static void add_first(const apot_convolution *c, int32_t width, int32_t rows, const int32_t *const *first,
                                  int32_t *sums) {
    apot_add_first_body(c, width, rows, first, sums);
}

#ifndef APOT_PAIRS
APOT_TARGET static void rescale(const apot_convolution *c, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                                const int32_t *sums, uint8_t *const *out) {
    (void)width;
    apot_rescale_body(c, lane, kept, rows, sums, out);
}
#endif

#endif

#if !defined APOT_OWN_LOOPS && !defined APOT_LANES
APOT_TARGET static void max_pool(const apot_pool *pool, const apot_stream_value *x, apot_stream_value *out) {
    apot_max_pool_body(pool, x, out);
}

APOT_TARGET static void compare(const apot_convolution *c, int32_t lane, int32_t width, int32_t kept, int32_t rows,
                                const int32_t *sums, uint8_t *const *out) {
    apot_compare_body(c, lane, width, kept, rows, sums, out);
}

APOT_TARGET static void threshold(const apot_stream_value *x, const apot_levels *levels, uint8_t *out, int32_t length) {
    apot_threshold_body(x, levels, out, length);
}
#endif

#define APOT_KERNELS(name, most) {name, most, sums, add_first, rescale, compare, threshold, add, max_pool, sum, head}
