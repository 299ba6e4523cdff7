"""The program that exported C is compiled to: what it does with its input; and the calls, with wrong arguments."""

import os
import shutil
import subprocess

import numpy as np
import pytest
import torch

from apot_lit.export.c_source import write_c
from apot_lit.integer import Executor, to_integers
from tests.export.conftest import digits, trained
from tests.export.random_networks import Builder
from tests.export.test_c_kernels import SANITIZED, WARNINGS

IMAGE = 28 * 28
FLAGS = ("-O1", "-DAPOT_PORTABLE", *WARNINGS, *SANITIZED)


@pytest.fixture(scope="module")
def network():
    return to_integers(trained(3, 1, width=2), digits("train")[0][:300])


@pytest.fixture(scope="module")
def source(network, tmp_path_factory):
    directory = tmp_path_factory.mktemp("c") / "net"
    write_c(network, "a test", directory)
    return directory


def compiled(source, *more, program="program"):
    files = sorted(path.name for path in source.glob("*.c") if path.name != "main.c" or not more)
    command = ["cc", *FLAGS, *files, *more, "-o", program]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return source / program


@pytest.fixture(scope="module")
def program(source):
    return compiled(source)


def run(program, *arguments, data=b""):
    return subprocess.run([program, *map(str, arguments)], input=data, capture_output=True)


def pixels(count):
    return digits()[0][:count].numpy().copy()


def lines(network, images):
    """What the program prints of images."""
    logits = Executor(network)(torch.from_numpy(np.ascontiguousarray(images)))
    return "".join(f"{int(row.argmax())} {' '.join(map(str, row.tolist()))}\n" for row in logits)


def idx(images):
    return bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in (len(images), 28, 28)) + images.tobytes()


def pgm(image, header=b"P5\n# a comment\n28 28\n255\n"):
    return header + image.tobytes()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_every_kind_of_file_gives_a_class_and_logits_for_each_image(tmp_path, network, program, count):
    images = pixels(count)
    expected = lines(network, images)
    paths = [tmp_path / name for name in ("raw", "idx", "pgm")]
    for path, data in zip(paths, (images.tobytes(), idx(images), b"\n".join(map(pgm, images))), strict=True):
        path.write_bytes(data)
        for done in (run(program, path), run(program, data=data), run(program, "-", data=data)):
            assert (done.returncode, done.stderr, done.stdout.decode()) == (0, b"", expected), path.name
    assert run(program, *paths).stdout.decode() == 3 * expected


def test_three_channels_in_a_ppm_are_taken_apart(tmp_path):
    b = Builder(0, (3, 6, 5))
    network = b.head(b.batch_norm(b.convolution("pixels", 4, (3, 3))))
    write_c(network, "colours", tmp_path / "net")
    images = b.images(2).numpy()
    program = compiled(tmp_path / "net")
    data = b"".join(b"P6 5 6 255 " + image.transpose(1, 2, 0).tobytes() for image in images)
    assert run(program, data=data).stdout.decode() == lines(network, images)
    assert b"another number of channels" in run(program, data=b"P5 5 6 255 " + bytes(30)).stderr


def test_raw_images_may_begin_as_other_files_do(network, program):
    image = pixels(1)
    image[0, 0, 0, :2] = list(b"P5")
    done = run(program, "--raw", data=image.tobytes())
    assert done.stdout.decode() == lines(network, image)
    assert run(program, data=image.tobytes()).returncode == 1


@pytest.mark.parametrize("left", [1, 3, IMAGE // 2, IMAGE - 1])
@pytest.mark.parametrize("whole", [0, 2])
def test_a_partial_image_is_an_error_after_the_whole_ones(network, program, whole, left):
    for data in (pixels(whole).tobytes() + bytes(left), idx(pixels(whole + 1))[: 16 + whole * IMAGE + left]):
        done = run(program, data=data)
        assert done.returncode == 1
        assert done.stderr.decode() == f"standard input: image {whole} is cut short: {left} of {IMAGE} bytes\n"
        assert done.stdout.decode() == lines(network, pixels(whole))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pgm(np.zeros(3, np.uint8)), "image 0 is cut short: 3 of 784 bytes"),
        (pgm(np.zeros(IMAGE, np.uint8), b"P5 28 27 255\n"), "has another size than the network's images"),
        (pgm(np.zeros(IMAGE, np.uint8), b"P5 28 28 127\n"), "its largest value must be 255"),
        (pgm(np.zeros(IMAGE, np.uint8), b"P5 28 x 255\n"), "its header can't be read"),
        (b"P5", "its header can't be read"),
        (b"P5 # an endless comment", "its header can't be read"),
        (b"P5 99999999999999999999 1 1 ", "its header can't be read"),
        (pgm(np.zeros(IMAGE, np.uint8)) + b"x", "goes on after its last image"),
        (pgm(np.zeros(IMAGE, np.uint8), b"P6 28 28 255\n"), "has another number of channels than the network"),
        (bytes([0, 0, 8, 3, 0]), "its header is cut short"),
        (idx(np.zeros((1, 28, 28), np.uint8)) + b"x", "goes on after its last image"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 27, 0, 0, 0, 28]), "its images have another size"),
        (bytes([0, 0, 8, 4, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0, 28]), "its images have another size"),
    ],
)
def test_files_that_are_wrong_are_told_in_one_line(program, data, said):
    done = run(program, data=data)
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"standard input: {said}")
    assert done.stderr.count(b"\n") == 1


def test_files_that_are_not_there_and_wrong_options_are_errors(tmp_path, program):
    done = run(program, tmp_path / "nowhere")
    assert (done.returncode, done.stderr.decode()) == (1, f"{tmp_path / 'nowhere'}: can't be opened\n")
    done = run(program, "--images=3")
    assert (done.returncode, done.stderr.decode()) == (1, "--images=3: no such option; --help shows them\n")
    done = run(program, "--help")
    assert done.returncode == 0
    assert b"28 x 28 pixels" in done.stdout


def test_output_that_can_not_be_written_is_an_error(program):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program], input=pixels(3).tobytes(), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b"standard output: can't be written\n"


def test_input_that_can_not_be_read_is_an_error(source, program):
    directory = os.open(source, os.O_RDONLY)
    done = subprocess.run([program, "--raw"], stdin=directory, capture_output=True)
    os.close(directory)
    assert done.returncode == 1
    assert done.stderr == b"standard input: can't be read\n"


CALLS = """
#include <stdio.h>
#include <string.h>
#include "network.h"
static uint8_t pixels[APOT_PIXELS];
static apot_logit logits[APOT_CLASSES];
static apot_arena arena[2];
static int with(const apot_network *other) { return apot_run(other, pixels, 1, logits, arena, sizeof arena); }
int main(void) {
    apot_network magic = apot_exported, version = apot_exported, size = apot_exported;
    magic.magic++, version.version++, size.size--;
    size_t bytes = sizeof arena[0];
    uint8_t *odd = (uint8_t *)arena + 1;
    const int found[] = {
        apot_classify(NULL, logits), apot_classify(pixels, NULL), apot_run(NULL, pixels, 1, logits, arena, bytes),
        apot_classify_batch(NULL, 1, logits, arena, bytes), apot_classify_batch(pixels, 1, NULL, arena, bytes),
        apot_classify_batch(pixels, 1, logits, NULL, bytes), apot_classify_batch(pixels, 1, logits, arena, bytes - 1),
        apot_classify_batch(pixels, 1, logits, arena, 0), apot_classify_batch(pixels, 1, logits, odd, bytes),
        with(&magic), with(&version), with(&size),
        apot_classify_batch(pixels, 0, logits, arena, bytes), apot_classify_batch(pixels, 1, logits, arena, bytes),
        apot_classify(pixels, logits) == apot_largest(logits, APOT_CLASSES)};
    for (size_t n = 0; n < sizeof found / sizeof *found; n++) printf("%d ", found[n]);
    logits[3] = logits[5] = logits[7] = 1 << 30;
    printf("%d", apot_largest(logits, APOT_CLASSES));
    return 0;
}
"""


def test_wrong_arguments_give_error_codes(tmp_path, source):
    shutil.copytree(source, tmp_path / "net", ignore=shutil.ignore_patterns("program"))
    (tmp_path / "net/calls.h").write_text(CALLS)
    (tmp_path / "net/main.c").write_text('#include "calls.h"\n')
    done = run(compiled(tmp_path / "net"))
    assert done.stderr == b""
    assert done.stdout.decode() == "-1 -1 -1 -1 -1 -1 -2 -2 -3 -4 -4 -4 0 0 1 3"


def test_the_source_has_no_floating_point_and_no_heap(source):
    text = "\n".join(path.read_text() for path in sorted(source.glob("*.[ch]")) if path.name != "main.c")
    words = set(text.replace("(", " ").replace("*", " ").split())
    assert "int32_t" in words
    assert not words & {"float", "double", "malloc", "calloc", "realloc", "free"}


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_make_builds_the_program_and_checks_the_files(tmp_path, network):
    write_c(network, "a test", tmp_path / "net")
    make = ["make", "-s", "-C", str(tmp_path / "net")]
    environment = {**os.environ, "CFLAGS": "-O1 -DAPOT_PORTABLE"}
    assert subprocess.run([*make, "check"], capture_output=True).returncode == 0
    assert subprocess.run([*make, "network", "libnetwork.so"], env=environment).returncode == 0
    done = run(tmp_path / "net/network", data=pixels(2).tobytes())
    assert done.stdout.decode() == lines(network, pixels(2))
    (tmp_path / "net/main.c").write_text("")
    assert subprocess.run([*make, "check"], capture_output=True).returncode != 0
