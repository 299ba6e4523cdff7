"""The compiled network from Python, against the reference executor."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from apot_lit.errors import UserError
from apot_lit.export.c_source import write_c
from apot_lit.integer import Executor, to_integers
from apot_lit.runtime import Network
from tests.export.conftest import digits, trained


@pytest.fixture(scope="module")
def integers():
    return to_integers(trained(3, 1, width=4), digits("train")[0][:300])


@pytest.fixture(scope="module")
def directory(integers, tmp_path_factory):
    directory = tmp_path_factory.mktemp("c") / "net"
    write_c(integers, "a test", directory)
    return directory


@pytest.fixture(scope="module")
def network(directory):
    return Network(directory)


def test_logits_and_classes_are_those_of_the_executor(network, integers):
    images = digits()[0][:100]
    expected = Executor(integers)(images).numpy()
    assert np.array_equal(network(images.numpy()), expected)
    assert network.predict(images.numpy()).tolist() == expected.argmax(1).tolist()
    assert (network.input_shape, network.classes) == ((1, 28, 28), 10)
    for count in (0, 1, 3, 17):
        assert np.array_equal(network(images[:count].numpy()), expected[:count])


def test_pixels_may_have_any_strides(network, integers):
    images = digits()[0][:20].numpy()
    turned = images[::-2, :, ::-1]
    assert np.array_equal(network(turned), network(np.ascontiguousarray(turned)))
    assert not np.array_equal(network(turned), network(images[::-2]))


def test_threads_do_not_disturb_one_another(network):
    images = digits()[0][:400].numpy()
    expected = network(images)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(network, np.split(images, 40)))
    assert np.array_equal(np.concatenate(parts), expected)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 1, 28, 28), np.float32),
        np.zeros((2, 1, 28, 28), np.int64),
        np.zeros((2, 28, 28), np.uint8),
        np.zeros((2, 1, 27, 28), np.uint8),
        np.zeros((28, 28), np.uint8),
    ],
    ids=lambda pixels: f"{pixels.dtype}{pixels.shape}",
)
def test_other_pixels_are_refused(network, pixels):
    with pytest.raises(UserError, match=r"pixels: must be uint8 \[N, 1 x 28 x 28\], are "):
        network(pixels)


def test_what_is_no_export_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"is no export of format=c"):
        Network(tmp_path)
    with pytest.raises(UserError, match=r"is no export of format=c"):
        Network(tmp_path / "nowhere")


def test_without_a_compiler_one_line_says_so(directory, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(UserError, match=r"needs a C compiler"):
        Network(directory)
    monkeypatch.setenv("CC", "false")
    with pytest.raises(UserError, match=r"false can't compile it"):
        Network(directory)
