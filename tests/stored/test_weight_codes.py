"""Bit streams of weight codes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apot_lit.quant.levels import level_set
from apot_lit.stored.weight_codes import decode, encode, pack_bits, unpack_bits


def brute_force(values, bit):
    stream = sum(int(value) << (bit * position) for position, value in enumerate(values))
    return list(stream.to_bytes(math.ceil(len(values) * bit / 8), "little"))


@pytest.mark.parametrize("bit", range(1, 9))
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 7, 8, 9, 31, 333])
def test_bit_stream_is_that_of_one_large_number(bit, count):
    values = np.random.default_rng(bit).integers(0, 2**bit, count).astype(np.uint8)
    packed = pack_bits(values, bit)
    assert packed.dtype == np.uint8
    assert packed.tolist() == brute_force(values, bit)
    assert unpack_bits(packed, bit, count).tolist() == values.tolist()


@settings(deadline=None)
@given(st.integers(1, 8).flatmap(lambda bit: st.tuples(st.just(bit), st.lists(st.integers(0, 2**bit - 1)))))
def test_any_values_come_back(case):
    bit, values = case
    packed = pack_bits(np.array(values, np.uint16), bit)
    assert packed.tolist() == brute_force(values, bit)
    assert unpack_bits(packed, bit, len(values)).tolist() == values


@pytest.mark.parametrize("values", [[0, 8], [-1, 0], [255], [256]])
def test_values_that_do_not_fit_are_refused(values):
    with pytest.raises(ValueError, match="do not fit 3 bits"):
        pack_bits(np.array(values), 3)


@pytest.mark.parametrize("size", [0, 3, 5])
def test_streams_of_another_length_are_refused(size):
    with pytest.raises(ValueError, match=f"10 values of 3 bits take 4 bytes, not {size}"):
        unpack_bits(np.zeros(size, np.uint8), 3, 10)


@pytest.mark.parametrize(
    ("scheme", "bit"), [("apot", 2), ("apot", 3), ("apot", 5), ("pot", 3), ("uniform", 8), (None, 4)]
)
def test_every_code_comes_back(scheme, bit):
    levels = None if scheme is None else level_set(scheme, bit - 1)
    allowed = range(-8, 8) if levels is None else sorted({s * code for code in levels.codes for s in (1, -1)})
    codes = np.resize(np.array(list(allowed)), (3, len(allowed)))
    stream = encode(codes, bit, levels)
    assert decode(stream, bit, levels, codes.shape).tolist() == codes.tolist()
    assert stream.size == math.ceil(codes.size * bit / 8)


def test_codes_that_are_no_levels_are_refused():
    with pytest.raises(ValueError, match="its codes, 0 to 5, do not fit 3 bits, -4 to 4"):
        encode(np.array([0, 5]), 3, level_set("apot", 2))
    with pytest.raises(ValueError, match="do not fit 3 bits"):
        encode(np.array([0, 3]), 3, level_set("apot", 2))  # between two levels
