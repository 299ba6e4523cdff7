"""What is timed computes what it should."""

import numpy as np

from apot_lit.benchmark.c_time import FASTEST, c_calls
from apot_lit.integer import Executor
from tests.export.random_networks import lively


def test_every_kernel_that_is_timed_gives_the_logits_of_the_executor(tmp_path):
    ((network, images),) = lively(1)
    calls, kernels = c_calls(network, tmp_path / "net")
    found = calls(images.numpy())
    assert found.keys() == kernels.keys()
    assert next(iter(found)) == FASTEST
    assert kernels["C, portable"] == "portable"
    assert kernels["C, shifts and additions"] == "shifts and additions"
    for call in found.values():
        assert np.array_equal(call(), Executor(network)(images).numpy())
