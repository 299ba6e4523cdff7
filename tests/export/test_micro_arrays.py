"""Packed weights against numbers of any size in Python."""

import numpy as np
import pytest

from apot_lit.export.micro_arrays import MicroConstants, pack_bits, pack_rows


def unpacked(packed, eights, count):
    """Weights of rows, taken from one large number for each row."""
    rows = []
    for begin in range(0, len(packed.rows) - 3, eights * packed.bits):
        number = int.from_bytes(bytes(packed.rows[begin : begin + eights * packed.bits].tolist()), "little")
        indices = [number >> (packed.bits * n) & (2**packed.bits - 1) for n in range(count)]
        if packed.levels is None:
            rows.append([index - 256 * (index > 127) for index in indices])
        else:
            rows.append([int(packed.levels[index]) for index in indices])
    return np.array(rows)


@pytest.mark.parametrize(
    ("levels", "bits"),
    [([-1, 0, 1], 2), ([5], 1), ([-4, -2, -1, 0, 1, 2, 4], 3), (range(-7, 8), 4), (range(-12, 20), 5)],
)
@pytest.mark.parametrize("inputs", [1, 8, 27])
def test_weights_take_the_bits_of_the_values_that_occur(levels, bits, inputs):
    random = np.random.default_rng(inputs)
    weight = random.choice(np.array(levels), (64, inputs)).astype(np.int8)
    weight[: len(levels), 0] = levels
    packed = pack_rows(weight)
    eights = -(-inputs // 8)
    assert packed.bits == bits
    assert packed.rows.size == 64 * eights * bits + 3
    np.testing.assert_array_equal(unpacked(packed, eights, inputs), weight)


def test_bytes_stay_bytes():
    weight = np.arange(-127, 128).astype(np.int8).reshape(5, 51)
    packed = pack_rows(weight)
    assert (packed.bits, packed.levels) == (8, None)
    np.testing.assert_array_equal(unpacked(packed, 7, 51), weight)


def test_bits_are_those_of_one_large_number():
    values = np.random.default_rng(0).integers(0, 32, 40)
    number = sum(int(value) << 5 * n for n, value in enumerate(values))
    assert pack_bits(values, 5).tobytes() == number.to_bytes(25, "little")


def test_equal_arrays_are_written_once():
    constants = MicroConstants()
    first = constants.array("int8_t", np.array([1, 2]), "a")
    assert constants.array("int8_t", np.array([1, 2]), "b") == first
    assert constants.array("uint8_t", np.array([1, 2]), "b") != first
    assert constants.lines == [
        *("static const int8_t a_0[2] = {", "    1, 2,", "};", ""),
        *("static const uint8_t b_1[2] = {", "    1, 2,", "};", ""),
    ]
