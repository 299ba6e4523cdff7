"""Every kernel against the reference executor, on random networks, under sanitizers."""

import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from apot_lit.export.c_source import write_c
from apot_lit.integer import Executor
from tests.export.random_networks import lively

SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
COUNT = 24
FEATURES = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
HARNESS = """
#include <stdio.h>
#include <stdlib.h>
#include "network.h"
#define NETWORK(n) extern const apot_network network_##n;
NETWORKS
#undef NETWORK
#define NETWORK(n) &network_##n,
static const apot_network *const networks[] = {NETWORKS};
/* For each network: all its images from standard input, side by side as many as the argument says. */
int main(int count, char **arguments) {
    size_t images = (size_t)atoi(arguments[1]), at_once = (size_t)atoi(arguments[2]);
    for (size_t n = 0; count && n < sizeof networks / sizeof *networks; n++) {
        const apot_network *network = networks[n];
        /* Each in memory of just its size, so that the sanitizer sees what is read or written beyond. */
        uint8_t *pixels = malloc(images * network->pixels), *arena = aligned_alloc(16, at_once * network->arena);
        apot_logit *logits = malloc(images * network->classes * sizeof *logits);
        if (fread(pixels, network->pixels, images, stdin) != images) return 2;
        int error = apot_run(network, pixels, images, logits, arena, at_once * network->arena);
        if (error) return -error;
        fwrite(logits, network->classes * sizeof *logits, images, stdout);
        free(pixels), free(arena), free(logits);
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def cases():
    return lively(COUNT)


@pytest.fixture(scope="module")
def source(tmp_path_factory, cases):
    """One directory with the runtime, and the data of all networks."""
    directory = tmp_path_factory.mktemp("c") / "all"
    for n, (network, _) in enumerate(cases):
        write_c(network, "random", directory.with_name(f"net{n}"))
        if n == 0:
            shutil.copytree(directory.with_name("net0"), directory)
            (directory / "network.c").unlink()
            (directory / "main.c").unlink()
        shutil.copy(directory.with_name(f"net{n}") / "network.c", directory / f"data{n}.c")
    names = " ".join(f"NETWORK({n})" for n in range(COUNT))
    (directory / "harness.c").write_text(HARNESS.replace("NETWORKS", names))
    return directory


def compiled(source, cc, flags):
    """The program of all networks; data are compiled once for each compiler and set of flags."""
    program = source / f"program{abs(hash((cc, flags)))}"
    commands = []
    for n in range(COUNT):
        names = [f"-Dapot_exported=network_{n}"]
        names += [
            f"-Dapot_{kind}_layer{end}=l{n}_{kind}{end}" for kind in ("code", "weight") for end in ("s", "_count")
        ]
        commands.append([cc, *flags, *names, "-c", f"data{n}.c", "-o", f"{program}{n}.o"])
    runtime = sorted(path.name for path in source.glob("apot_*.c") if path.name != "apot_inspect.c")
    objects = [f"{program}{n}.o" for n in range(COUNT)]
    one = "-Dapot_exported=network_0"
    commands.append([cc, *flags, one, "harness.c", *runtime, *objects, "-o", str(program)])
    for command in commands:
        done = subprocess.run(command, cwd=source, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return program


def assert_equal(program, cases, at_once):
    pixels = b"".join(images.numpy().tobytes() for _, images in cases)
    images = len(cases[0][1])
    done = subprocess.run([program, str(images), str(at_once)], input=pixels, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    found = np.frombuffer(done.stdout, np.int32).reshape(len(cases), images, -1)
    for n, (network, pixels) in enumerate(cases):
        expected = Executor(network)(pixels).numpy()
        assert np.array_equal(found[n], expected), f"network {n}: {network.steps}"


def requires(feature):
    usable = platform.machine() == "x86_64" and all(f" {name}" in FEATURES for name in feature.split())
    return pytest.mark.skipif(not usable, reason=f"a processor without {feature}")


KERNELS = [
    pytest.param(("-DAPOT_PORTABLE",), id="portable"),
    pytest.param(("-DAPOT_SHIFT_ADD",), id="shift_add"),
    pytest.param(("-DAPOT_PORTABLE", "-DAPOT_ROWS=1", "-DAPOT_BLOCKS=1"), id="one_row"),
    pytest.param(("-DAPOT_PORTABLE", "-DAPOT_PLAIN"), id="plain"),
    pytest.param(("-DAPOT_PORTABLE", "-mavx2"), id="wide", marks=requires("avx2")),
    pytest.param(("-DAPOT_AVX2",), id="avx2", marks=requires("avx2")),
    pytest.param((), id="vnni", marks=requires("avx512vl avx512bw avx512dq avx512_vnni")),
]


def require_sanitizers(cc, directory):
    """Skips where a compiler is missing, or the libraries that its sanitizers need."""
    if shutil.which(cc) is None:
        pytest.skip(f"no {cc} here")
    (directory / "empty.c").write_text("int main(void) { return 0; }\n")
    linked = subprocess.run([cc, *SANITIZED, "empty.c", "-o", "empty"], cwd=directory, capture_output=True)
    if linked.returncode:
        pytest.skip(f"{cc} has no sanitizers here")


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("cc", ["cc", "clang"])
def test_kernels_give_the_logits_of_the_executor_under_sanitizers(source, cases, cc, kernel, tmp_path):
    require_sanitizers(cc, tmp_path)
    program = compiled(source, cc, ("-O1", *WARNINGS, *SANITIZED, *kernel))
    # One number is enough for the kernel that takes longest.
    for at_once in (3,) if kernel == ("-DAPOT_SHIFT_ADD",) else (1, 3, 8):
        assert_equal(program, cases, at_once)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("flags", ["-O0", "-Os", "-O3", "-Ofast -march=native", "-O3 -flto -funroll-loops"])
@pytest.mark.parametrize("cc", ["gcc", "clang"])
def test_kernels_give_the_logits_of_the_executor_under_all_flags(source, cases, cc, flags, kernel):
    if shutil.which(cc) is None:
        pytest.skip(f"no {cc} here")
    program = compiled(source, cc, (*WARNINGS, *flags.split(), *kernel))
    assert_equal(program, cases, 1)
    assert_equal(program, cases, 11)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("aarch64-linux-gnu-gcc") or not shutil.which("qemu-aarch64"), reason="no aarch64")
@pytest.mark.parametrize(
    "kernel",
    [(), ("-DAPOT_PLAIN",), ("-march=armv8.2-a+dotprod",), ("-march=armv8.6-a+i8mm",)],
    ids=["neon", "plain", "dot_products", "mixed_signs"],
)
def test_another_processor_gives_the_logits_of_the_executor(source, cases, kernel):
    program = compiled(source, "aarch64-linux-gnu-gcc", (*WARNINGS, "-O2", "-static", *kernel))
    emulated = program.with_suffix(".sh")
    emulated.write_text(f'#!/bin/sh\nexec qemu-aarch64 -cpu max {program} "$@"\n')
    emulated.chmod(0o755)
    assert_equal(emulated, cases, 3)
