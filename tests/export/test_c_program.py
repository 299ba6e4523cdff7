"""The program that exported C is compiled to: the same bytes under all flags, and what it does with its input."""

import os
import subprocess

import pytest

from apot_lit.export.c_source import write_c
from apot_lit.graph.trace import build_steps
from tests.export.conftest import REFERENCE_PIXELS, digits, trained

SOURCES = ("network.c", "apot_runtime.c", "main.c")
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
SANITIZED = ("-O1", "-g", *WARNINGS, "-fsanitize=undefined,address", "-fno-sanitize-recover=all")
IMAGE = 28 * 28
LOGITS = 4 * 10


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A network with a first layer in floats and batch norms: with many sums of products to fuse."""
    directory = tmp_path_factory.mktemp("c") / "net"
    write_c(build_steps(trained(3, 1, width=4, pixels=REFERENCE_PIXELS)), (1, 28, 28), "a test", directory)
    return directory


def compiled(source, *flags):
    program = source / f"net{abs(hash(flags))}"
    done = subprocess.run(["cc", *flags, *SOURCES, "-o", program], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def pixels(count):
    return digits()[0][:count].numpy().tobytes()


def run(program, data, *arguments):
    return subprocess.run([program, *arguments], input=data, capture_output=True)


@pytest.fixture(scope="module")
def reference(source):
    return run(compiled(source, "-std=c99", "-O0", "-ffp-contract=off"), pixels(20), "20").stdout


@pytest.mark.parametrize(
    "flags",
    [
        ["-O0"],
        ["-O3"],
        ["-O3", "-march=native"],
        ["-O3", "-march=native", "-std=c99"],
        ["-O2", "-march=native", "-ffp-contract=fast"],
        ["-O3", "-march=native", "-flto"],
        ["-Os", "-march=native", "-funroll-loops"],
    ],
    ids=" ".join,
)
def test_all_flags_give_the_same_bytes(source, reference, flags):
    found = run(compiled(source, *flags), pixels(20), "20")
    assert len(reference) > 20 * LOGITS
    assert found.stdout == reference


@pytest.mark.parametrize("flags", [["-ffast-math"], ["-Ofast"], ["-mfpmath=387"]], ids=" ".join)
def test_flags_that_change_the_arithmetic_are_refused(source, flags):
    command = ["cc", *flags, "-c", "apot_runtime.c", "-o", "unused.o"]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    if "unrecognized" in done.stderr:
        pytest.skip("a flag of another processor")
    assert done.returncode
    assert "needs IEEE floats" in done.stderr


@pytest.fixture(scope="module")
def sanitized(source):
    return compiled(source, *SANITIZED)


@pytest.mark.parametrize("with_codes", ["0", "1", "9"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_whole_images_give_logits_and_codes(source, sanitized, count, with_codes):
    done = run(sanitized, pixels(count), with_codes)
    assert (done.returncode, done.stderr) == (0, b"")
    codes = len(run(sanitized, pixels(1), "1").stdout) - LOGITS
    assert codes > 1000
    assert len(done.stdout) == count * LOGITS + min(count, int(with_codes)) * codes


@pytest.mark.parametrize("left", [1, IMAGE // 2, IMAGE - 1])
@pytest.mark.parametrize("whole", [0, 2])
def test_a_partial_image_is_an_error_after_the_logits_of_the_whole_ones(sanitized, whole, left):
    done = run(sanitized, pixels(whole) + bytes(left))
    assert done.returncode == 1
    assert done.stderr.decode() == f"image {whole} is cut short: {left} of {IMAGE} bytes\n"
    assert done.stdout == run(sanitized, pixels(whole)).stdout
    assert len(done.stdout) == whole * LOGITS


def test_output_that_can_not_be_written_is_an_error(sanitized):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sanitized, "1"], input=pixels(3), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b"the output can't be written\n"


def test_input_that_can_not_be_read_is_an_error(source, sanitized):
    directory = os.open(source, os.O_RDONLY)
    done = subprocess.run([sanitized], stdin=directory, capture_output=True)
    os.close(directory)
    assert done.returncode == 1
    assert done.stderr == b"the input can't be read\n"


@pytest.mark.parametrize("call", range(4))
def test_too_little_memory_is_an_error(source, call):
    (source / "malloc.c").write_text(
        "#include <stddef.h>\nvoid *__real_malloc(size_t size);\nvoid *__wrap_malloc(size_t size);\n"
        f"void *__wrap_malloc(size_t size) {{ static int n; return n++ == {call} ? NULL : __real_malloc(size); }}\n"
    )
    done = run(compiled(source, *SANITIZED, "-Wl,--wrap=malloc", "malloc.c"), pixels(1), "1")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"there is not enough memory\n"
