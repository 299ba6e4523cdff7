"""The compiled loops under the sanitizers of the compiler: nothing is read or written beside the arrays."""

import subprocess

import pytest

from apot_lit.quant.cpu.library import SOURCE, find_c_compiler

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
COUNTS = (0, 1, 2, 15, 16, 17, 2047, 2048, 2049, 131071, 140001)
DRIVER = """
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "native.c"

/* Each array is exactly as long as it must be, and begins anywhere. */
static float *array(int64_t count) { return malloc(count * sizeof(float)); }

int main(void) {
    const int64_t counts[] = {COUNTS};
    const float odd[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-45f, 3e38f, -3e38f};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (int options = 0; options < 64; options++) {
            int64_t count = counts[c];
            int normalize = options & 1, is_signed = options & 2, with_table = options & 4, straight = options & 8;
            int with_odd = options & 16, with_grad = options & 32;
            float high = 96, low = is_signed ? -high : 0;
            int entries = (int)(high - low) + 2;
            float *x = array(count), *codes = array(count), *grad = array(count), *grad_x = array(count);
            float *table = array(entries);
            for (int i = 0; i < entries - 1; i++) table[i] = truncf((low + i) / 2);
            table[entries - 1] = NAN;
            for (int64_t i = 0; i < count; i++) {
                x[i] = with_odd && i % 3 == 0 ? odd[i / 3 % 8] : sinf(i) * 3;
                grad[i] = with_odd && i % 7 == 0 ? odd[i / 7 % 8] : cosf(i);
            }
            struct grid grid = {0, 1, high / 1.7f};
            quantize(x, codes, count, normalize, low, high, with_table ? table : 0, &grid);
            for (int64_t i = 0; i < count; i++) {
                float code = codes[i];
                assert(isnan(code) || (2 * code >= low && 2 * code <= high && code == truncf(code)));
            }
            gradient(grad, x, codes, with_grad ? grad_x : 0, count, normalize, low, high, straight, 48 / 1.7, &grid);
            free(x), free(codes), free(grad), free(grad_x), free(table);
        }
    puts("done");
    return 0;
}
"""


@pytest.fixture(autouse=True)
def way():
    """Not each way of quantising in turn, as elsewhere in this package."""


@pytest.mark.parametrize("threads", [(), ("-fopenmp",)], ids=["one thread", "threads"])
def test_no_array_is_left_and_nothing_is_undefined(tmp_path, threads):
    compiler = find_c_compiler()
    if compiler is None:
        pytest.skip("no C compiler here")
    empty = tmp_path / "empty.c"
    empty.write_text("int main(void) { return 0; }")
    probe = [compiler, *SANITIZERS, *threads, str(empty), "-o", str(tmp_path / "empty")]
    if subprocess.run(probe, capture_output=True).returncode or subprocess.run([tmp_path / "empty"]).returncode:
        pytest.skip("the compiler has no sanitizers here")
    source = tmp_path / "driver.c"
    source.write_text(DRIVER.replace("COUNTS", ", ".join(map(str, COUNTS))))
    program = tmp_path / "driver"
    command = [compiler, *SANITIZERS, *threads, "-ffp-contract=off", "-I", str(SOURCE.parent), str(source), "-lm"]
    subprocess.run([*command, "-o", str(program)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-3000:]
