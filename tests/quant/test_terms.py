"""Shifts and adds against plain integers."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apot_lit.quant.levels import level_set
from apot_lit.quant.terms import non_adjacent_form, terms_of_codes


@given(st.integers(0, 2**20))
def test_the_digits_are_the_number_and_no_two_are_neighbours(number):
    digits = non_adjacent_form(number)
    assert sum(sign * 2**shift for sign, shift in digits) == number
    shifts = sorted(shift for _, shift in digits)
    assert all(b - a >= 2 for a, b in pairwise(shifts))


@pytest.mark.parametrize("scheme", ["apot", "pot", "uniform"])
@pytest.mark.parametrize("bits", range(1, 5))
def test_every_code_is_the_sum_of_its_terms(scheme, bits):
    levels = level_set(scheme, bits)
    split = terms_of_codes(levels, levels.denominator)
    assert set(levels.codes) <= split.keys()
    for code, terms in split.items():
        assert sum(sign * 2**shift for sign, shift in terms) == code
        if scheme != "uniform":
            assert len(terms) <= len(levels.terms)
            assert all(sign == 1 for sign, _ in terms)


def test_eight_bit_weights_have_at_most_four_terms():
    split = terms_of_codes(None, 127)
    assert sorted(split) == list(range(128))
    assert max(map(len, split.values())) == 4
