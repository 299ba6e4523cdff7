"""Numbers taken apart into 16 bits, against whole ones."""

from itertools import combinations

import numpy as np
import pytest

from apot_lit.export.c_arrays import BLOCK, lanes_of
from apot_lit.export.c_parts import fit_into_16_bits, pack_parts, quads_within_16_bits
from apot_lit.integer.fixed_point import rescaling
from apot_lit.integer.network import Rescale


def wrapped(number, bits):
    """A number as one with a sign and so many bits holds it."""
    return (number + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def pair(a, b):
    """Products of the halves of two numbers of 32 bits, added up, as the instruction does it."""
    halves = [(wrapped(x, 16), wrapped(x >> 16, 16)) for x in (a, b)]
    return wrapped(halves[0][0] * halves[1][0] + halves[0][1] * halves[1][1], 32)


def rescaled(x, parts):
    """What apot_finish.h computes of one sum."""
    low, high = x & 0x7FFF, x >> 15
    product = wrapped(pair(high, parts[1] & 0xFFFF) << 15, 32)
    product += pair(low | wrapped(high << 16, 32), parts[1]) + (pair(low | 0x10000, parts[0]) >> 15)
    return wrapped(product + parts[2], 32) >> parts[3]


def batch_norm(outputs, reach, random):
    """One whose values reach about twice what 16 bits hold; the last channels are without weights or nearly so."""
    factor = random.normal(0, 2**16 / reach, outputs)
    factor[-1] = 0
    multiplier, bias, shift = rescaling(factor, random.normal(0, 2**14, outputs), "layer")
    return Rescale("y", ("x",), multiplier=multiplier, bias=bias, shift=shift, layer="layer")


@pytest.mark.parametrize("reach", [1, 300, 12_000, 2**20, 2**24])
@pytest.mark.parametrize(("outputs", "groups"), [(16, 1), (40, 1), (36, 2)])
def test_parts_give_the_same_as_64_bits(outputs, groups, reach):
    random = np.random.default_rng(reach)
    step = batch_norm(outputs, reach, random)
    sums = np.full(outputs, -reach), np.full(outputs, reach)
    lanes = lanes_of(outputs, groups)
    packed = pack_parts(step, sums, lanes, groups)
    width, position, used = len(lanes) // groups, 0, 0
    for group in range(groups):
        for start in range(0, width, BLOCK):
            size = min(BLOCK, width - start)
            parts = packed[position : position + 4 * size].reshape(4, size).tolist()
            position += 4 * size
            for lane in range(size):
                output = lanes[group * width + start + lane]
                used += parts[3][lane] >= 0
                if output < 0 or parts[3][lane] < 0:
                    continue
                for x in [-reach, reach, 0, -1, *random.integers(-reach, reach + 1, 50).tolist()]:
                    whole = x * int(step.multiplier[output]) + int(step.bias[output]) >> int(step.shift[output])
                    assert rescaled(x, [part[lane] for part in parts]) == whole
    assert position == len(packed)
    assert used == len(lanes) or reach == 2**24


def test_blocks_that_do_not_fit_are_marked():
    step = Rescale("y", ("x",), np.full(32, 2**14), np.zeros(32, int), np.array([12] * 16 + [20] * 16), layer="layer")
    sums = np.full(32, -(2**20)), np.full(32, 2**20)
    sums[1][16] = 2**30
    assert pack_parts(step, sums, lanes_of(32, 1), 1).reshape(2, 4, 16)[:, 3].tolist() == [[0] * 16, [-1] * 16]


def test_sums_cut_to_16_bits_compare_as_they_are():
    for threshold in (-(2**15), 1 - 2**15, 2**15 - 1, 2**15):
        sums = np.array([-(2**20), threshold - 1, threshold, 2**20])
        same = np.array_equal(sums >= threshold, sums.clip(-(2**15), 2**15 - 1) >= threshold)
        assert fit_into_16_bits(np.array([threshold])) <= same


@pytest.mark.parametrize("seed", range(20))
def test_as_many_quads_as_fit_into_16_bits_whichever_they_are(seed):
    random = np.random.default_rng(seed)
    taps, largest = random.integers(-127, 128, (3, 2, 12)), int(random.integers(20, 256))
    quads = quads_within_16_bits(taps, largest)
    halves = np.stack([taps.clip(min=0), (-taps).clip(min=0)]).reshape(2, 3, 6, 2, 2).sum(4) * largest

    def most(count):
        return max(int(halves[:, :, list(some)].sum(2).max()) for some in combinations(range(6), count))

    assert most(min(quads, 6)) <= 2**15 - 1
    assert quads == 7 or most(quads + 1) > 2**15 - 1
