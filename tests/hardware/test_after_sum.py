"""Units behind a sum against their definitions: counting thresholds, and exact fractions rounded down."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from apot_lit.hardware.after_sum import limit_word, rescale_unit, threshold_unit
from apot_lit.hardware.operands import Operand
from apot_lit.quant.levels import level_set
from tests.hardware.conftest import SCHEMES, codes, integers


@pytest.mark.parametrize("encoding", ["code", "index", "fields"])
@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_thresholds_give_the_code_of_their_count(scheme, bits, encoding):
    levels, width = level_set(scheme, bits), 8
    unit = threshold_unit(levels, encoding, width)
    operand = Operand("code", levels, False, encoding)
    random = np.random.default_rng(bits)
    for _ in range(3):
        thresholds = np.sort(random.integers(-128, 128, len(levels.codes) - 1))
        for negate in (0, 1):
            values = np.arange(-127, 128)
            inputs = {
                "value": integers(values, True),
                "negate": integers(negate, True),
                "thresholds": integers(limit_word(thresholds.tolist(), width), True),
            }
            given = unit.evaluate(inputs)["code"]
            counts = [(thresholds <= (-v if negate else v)).sum() for v in values]
            assert given.tolist() == [operand.word(codes(scheme, bits)[count]) for count in counts]


def test_batch_norm_is_an_exact_fraction_rounded_down_and_saturated():
    unit = rescale_unit(12, 40, 9, "batch_norm")
    random = np.random.default_rng(0)
    for shift in (0, 1, 5, 20, 40):
        x = random.integers(-2048, 2048, 200)
        m, b = random.integers(-(2**15) + 1, 2**15, 200), random.integers(-(2**38), 2**38, 200)
        inputs = {"value": x, "multiplier": m, "bias": b, "shift": np.array(shift)}
        given = unit.evaluate(inputs)["result"].tolist()
        exact = [floor(Fraction(int(i) * int(j) + int(k), 2**shift)) for i, j, k in zip(x, m, b, strict=True)]
        assert given == [max(-256, min(255, value)) for value in exact]
        assert shift < 20 or max(map(abs, given)) <= 256
