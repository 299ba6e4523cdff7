"""What the benchmark compares gives equal results."""

import pytest
import torch

from apot_lit.benchmark.projection_time import ALPHA, check_agreement, variants
from apot_lit.quant.levels import level_set


@pytest.mark.parametrize("bits", range(2, 9))
def test_all_give_the_same_codes(bits):
    levels = level_set("apot", bits)
    x = torch.rand(20_000, generator=torch.Generator().manual_seed(bits)) * 1.5 * ALPHA - 0.2 * ALPHA
    functions = variants(levels, torch.device("cpu"))
    assert list(functions) == ["half_grid", "distance_matrix", "bucketize"]
    check_agreement(x, functions, levels)
    assert set(functions["half_grid"](x).tolist()) == set(levels.codes)


def test_levels_are_projected_to_their_own_codes():
    levels = level_set("apot", 5)
    x = torch.tensor([code / levels.denominator * ALPHA for code in levels.codes])
    for function in variants(levels, torch.device("cpu")).values():
        assert function(x).tolist() == list(levels.codes)


def test_a_wrong_result_is_noticed():
    levels = level_set("apot", 5)
    functions = variants(levels, torch.device("cpu"))
    functions["wrong"] = lambda x: functions["half_grid"](x * 1.1)
    with pytest.raises(AssertionError, match="projection by wrong"):
        check_agreement(torch.rand(1000) * ALPHA, functions, levels)
