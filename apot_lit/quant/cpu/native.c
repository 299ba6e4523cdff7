/* Quantisation of dense float32 arrays, forward and backward; built and called by native.py.
 *
 * The rule is that of functional.py and normalize.py, operation by operation in float32: half = (x - mean) / std *
 * factor, clipped, truncated, looked up. Sums are float32 within BLOCK elements and float64, in a fixed order, beyond:
 * the same for any number of threads.
 */
#include <math.h>
#include <stdint.h>

#define BLOCK 2048
#define LANES 16  /* independent sums: the compiler may use vector registers without reordering additions */
#define SLICES 64 /* shares of the work, whatever the number of threads */
#define SLICE_START(slice, count) ((count) / BLOCK * (slice) / SLICES * BLOCK)
#define SLICE_END(slice, count) ((slice) == SLICES - 1 ? (count) : SLICE_START((slice) + 1, count))
#define PARALLEL_FOR _Pragma("omp parallel for schedule(static) if (count > 2 * BLOCK)")

struct grid {
    float mean, inverse_std; /* 0 and 1 without normalisation, which then changes no bit */
    float factor;            /* half-grid steps per unit of the normalised value */
};

static inline float half_steps(float x, struct grid grid) { return (x - grid.mean) * grid.inverse_std * grid.factor; }

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Mean and 1 / (unbiased standard deviation). */
static void normalization(const float *restrict x, int64_t count, struct grid *grid) {
    double sums[SLICES] = {0}, squares[SLICES] = {0}, total = 0, square = 0;
    PARALLEL_FOR
    for (int slice = 0; slice < SLICES; slice++) {
        int64_t start = SLICE_START(slice, count), end = SLICE_END(slice, count);
        int64_t whole = start + (end - start) / LANES * LANES;
        double lane_sum[LANES] = {0}, lane_square[LANES] = {0};
        for (int64_t i = start; i < whole; i += LANES)
            for (int lane = 0; lane < LANES; lane++) {
                double value = x[i + lane];
                lane_sum[lane] += value;
                lane_square[lane] += value * value;
            }
        for (int64_t i = whole; i < end; i++) {
            lane_sum[0] += x[i];
            lane_square[0] += (double)x[i] * x[i];
        }
        for (int lane = 0; lane < LANES; lane++) {
            sums[slice] += lane_sum[lane];
            squares[slice] += lane_square[lane];
        }
    }
    for (int slice = 0; slice < SLICES; slice++) {
        total += sums[slice];
        square += squares[slice];
    }
    double mean = total / count, variance = (square - count * mean * mean) / (count > 1 ? count - 1 : 1);
    grid->mean = (float)mean;
    grid->inverse_std = (float)(1 / sqrt(variance < 1e-24 ? 1e-24 : variance));
}

/* Codes of x. `table` is indexed from the half-grid value `low` and ends with an entry for NaN; without a table codes
 * are half-grid values rounded to whole steps, halves away from zero. `grid` comes with its factor and is completed. */
void quantize(const float *restrict x, float *restrict codes, int64_t count, int normalize, float low, float high,
              const float *restrict table, struct grid *grid_of_x) {
    if (normalize) normalization(x, count, grid_of_x);
    struct grid grid = *grid_of_x;
    int32_t offset = (int32_t)-low, nan_index = (int32_t)high + offset + 1;
    PARALLEL_FOR
    for (int64_t start = 0; start < count; start += BLOCK) {
        const float *from = x + start;
        float *to = codes + start;
        int length = (int)smaller(BLOCK, count - start);
        if (table) { /* indices in vector registers, then one load per element: gathers are slower */
            int32_t indices[BLOCK];
            for (int i = 0; i < length; i++) {
                float half = half_steps(from[i], grid);
                float clipped = half < low ? low : half > high ? high : half;
                indices[i] = half == half ? (int32_t)clipped + offset : nan_index;
            }
            for (int i = 0; i < length; i++) to[i] = table[indices[i]];
        } else {
            for (int i = 0; i < length; i++) {
                float half = half_steps(from[i], grid);
                half = truncf(half < low ? low : half > high ? high : half); /* NaN stays NaN */
                to[i] = truncf((half + copysignf(1.0f, half)) * 0.5f);
            }
        }
    }
}

struct clip { float low, high, slope; int straight_through; };

struct lanes { float code[LANES], kept_half[LANES], passed_half[LANES], passed[LANES]; };

struct sums { double code, kept_half, passed_half, passed; };

/* Gradients of up to LANES elements: `kept` is the gradient inside (low, high), else 0; `passed` what x gets of it. */
static inline void add_gradients(const float *grad, const float *x, const float *codes, float *grad_x, int length,
                                 struct grid grid, struct clip clip, struct lanes *sums) {
    for (int lane = 0; lane < length; lane++) {
        float g = grad[lane], half = half_steps(x[lane], grid);
        float kept = (half > clip.low) & (half < clip.high) ? g : 0.0f, passed = clip.straight_through ? g : kept;
        sums->code[lane] += g * codes[lane];
        sums->kept_half[lane] += kept * half;
        sums->passed_half[lane] += passed * half;
        sums->passed[lane] += passed;
        if (grad_x) grad_x[lane] = clip.slope * passed;
    }
}

static void block_gradient(const float *restrict grad, const float *restrict x, const float *restrict codes,
                           float *restrict grad_x, int length, struct grid grid, struct clip clip, struct sums *total) {
    struct lanes sums = {{0}};
    int whole = length / LANES * LANES;
    if (grad_x)
        for (int i = 0; i < whole; i += LANES) add_gradients(grad + i, x + i, codes + i, grad_x + i, LANES, grid, clip, &sums);
    else
        for (int i = 0; i < whole; i += LANES) add_gradients(grad + i, x + i, codes + i, 0, LANES, grid, clip, &sums);
    add_gradients(grad + whole, x + whole, codes + whole, grad_x ? grad_x + whole : 0, length - whole, grid, clip, &sums);
    for (int lane = 0; lane < LANES; lane++) {
        total->code += sums.code[lane];
        total->kept_half += sums.kept_half[lane];
        total->passed_half += sums.passed_half[lane];
        total->passed += sums.passed[lane];
    }
}

/* Gradient of x, unless `grad_x` is null, and sum(grad * code) - sum(kept * half) / 2, what alpha's is made of.
 * `slope` is the derivative of a code with respect to the normalised value, unit / alpha. */
double gradient(const float *restrict grad, const float *restrict x, const float *restrict codes,
                float *restrict grad_x, int64_t count, int normalize, float low, float high, int straight_through,
                double slope, const struct grid *grid_of_x) {
    struct grid grid = *grid_of_x;
    struct clip clip = {low, high, (float)slope, straight_through};
    struct sums slices[SLICES] = {{0}}, total = {0};
    PARALLEL_FOR
    for (int slice = 0; slice < SLICES; slice++) {
        int64_t end = SLICE_END(slice, count);
        for (int64_t start = SLICE_START(slice, count); start < end; start += BLOCK) {
            block_gradient(grad + start, x + start, codes + start, grad_x && !normalize ? grad_x + start : 0,
                           (int)smaller(BLOCK, end - start), grid, clip, &slices[slice]);
        }
    }
    for (int slice = 0; slice < SLICES; slice++) {
        total.code += slices[slice].code;
        total.kept_half += slices[slice].kept_half;
        total.passed_half += slices[slice].passed_half;
        total.passed += slices[slice].passed;
    }
    if (grad_x && normalize) {
        /* d/dW = (g - mean(g) - W' sum(g W') / (n - 1)) / std with W' = half / factor and g = slope * passed */
        double outer = slope * grid.inverse_std;
        double per_half = total.passed_half / ((double)grid.factor * grid.factor * (count > 1 ? count - 1 : 1));
        float of_passed = (float)outer, of_half = (float)(-outer * per_half), constant = (float)(-outer * total.passed / count);
        PARALLEL_FOR
        for (int64_t start = 0; start < count; start += BLOCK) {
            int64_t end = start + smaller(BLOCK, count - start);
            for (int64_t i = start; i < end; i++) {
                float half = half_steps(x[i], grid);
                float passed = straight_through | ((half > low) & (half < high)) ? grad[i] : 0.0f;
                grad_x[i] = of_passed * passed + of_half * half + constant;
            }
        }
    }
    return total.code - 0.5 * total.kept_half;
}
