"""Programs with an export for microcontrollers read and write nothing beyond what is theirs."""

import subprocess

import numpy as np
import pytest
import torch

from apot_lit.export.micro_source import write_micro
from apot_lit.integer import to_integers
from apot_lit.integer.executor import Executor
from apot_lit.quant.cpu.library import find_c_compiler
from tests.export.conftest import digits, trained

# Arena and logits are as large as they must be, so that the first byte beyond is noticed.
MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include "network.h"
int main(void) {
    uint8_t *pixels = malloc(APOT_PIXELS);
    apot_logit *logits = malloc(APOT_CLASSES * sizeof *logits);
    void *arena = malloc(APOT_ARENA_BYTES);
    while (fread(pixels, APOT_PIXELS, 1, stdin)) {
        printf("%d", apot_classify(pixels, logits, arena, APOT_ARENA_BYTES));
        for (int n = 0; n < APOT_CLASSES; n++) printf(" %lld", (long long)logits[n]);
        putchar('\\n');
    }
    free(arena), free(logits), free(pixels);
}
"""
FLAGS = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.mark.parametrize(
    ("arguments", "options"),
    [((3, 1), {"width": 3, "stem": "strided"}), ((8, 0), {"width": 2}), ((2, 1), {"width": 5, "first_bit": 5})],
    ids=str,
)
def test_nothing_beyond_is_read_or_written(tmp_path, arguments, options):
    compiler = find_c_compiler()
    if compiler is None:
        pytest.skip("needs a C compiler")
    network = to_integers(trained(*arguments, **options), digits("train")[0][:300], fold=False)
    write_micro(network, "a test", tmp_path / "net")
    (tmp_path / "program.c").write_text(MAIN)
    sources = [tmp_path / "program.c", tmp_path / "net/network.c", tmp_path / "net/apot_micro.c"]
    command = [compiler, *FLAGS, f"-I{tmp_path}/net", *sources, "-o", tmp_path / "program"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot find -l" in built.stderr:
        pytest.skip("needs the libraries of the compiler's sanitizers")
    assert built.returncode == 0, built.stderr
    images = digits()[0][:5]
    done = subprocess.run([tmp_path / "program"], input=images.numpy().tobytes(), capture_output=True, check=True)
    found = np.array([line.split() for line in done.stdout.decode().splitlines()], np.int64)
    expected = Executor(network)(images)
    assert torch.equal(torch.from_numpy(found[:, 1:]), expected)
    assert found[:, 0].tolist() == expected.argmax(1).tolist()
