"""Expressions compute what their Verilog says, and refuse values that their bits do not hold."""

import numpy as np
import pytest

from apot_lit.hardware.expressions import (
    Wire,
    bits_of,
    chosen,
    clamped,
    flipped,
    joined,
    limits,
    number,
    part,
    power_of_two,
    shifted,
    shifted_right,
    signal,
    signed_part,
    times,
    total,
)

BYTE = np.arange(256)


def test_parts_of_a_word():
    word = signal("word", 8)
    assert part(word, 2, 3).text == "word[4:2]"
    assert part(word, 0, 8).text == "word"
    assert (part(word, 2, 3).compute({"word": BYTE}) == BYTE // 4 % 8).all()
    as_signed = signed_part(word, 4, 4).compute({"word": BYTE})
    assert (as_signed == [(w >> 4) - 16 * (w >= 128) for w in range(256)]).all()
    assert (joined([part(word, 0, 4), part(word, 4, 4)]).compute({"word": BYTE}) == BYTE % 16 * 16 + BYTE // 16).all()


def test_a_flipped_value_with_its_bit_is_the_negative():
    values = {"x": BYTE, "s": np.array(1)}
    assert (flipped(signal("x", 8), signal("s", 1)).compute(values) + 1 == -BYTE).all()
    assert (flipped(signal("x", 8), signal("s", 1)).compute(values | {"s": np.array(0)}) == BYTE).all()


def test_shifts_and_saturation():
    values = {"x": np.arange(-128, 128), "s": np.array(3)}
    x = signal("x", 8, signed=True)
    assert (shifted_right(x, signal("s", 3)).compute(values) == np.floor(np.arange(-128, 128) / 8)).all()
    assert clamped(x, 4).compute(values).tolist() == [max(-8, min(7, v)) for v in range(-128, 128)]
    assert shifted(signal("u", 3), 2).compute({"u": np.arange(8)}).tolist() == list(range(0, 32, 4))
    assert power_of_two(signal("e", 3), 7).compute({"e": np.arange(8)}).tolist() == [1, 2, 4, 8, 16, 32, 64, 128]


@pytest.mark.parametrize(
    ("value", "signed", "text"), [(5, False, "4'd5"), (5, True, "4'sd5"), (-5, True, "-4'sd5"), (-8, True, "-5'sd8")]
)
def test_numbers_are_written_so_that_verilog_reads_them(value, signed, text):
    """-4'sd8 would be 8 in a wider sum: 4'sd8 is -8."""
    assert number(value, 4, signed).text == text


def test_a_choice_takes_the_last_option_for_larger_numbers():
    options = [number(value, 4) for value in (3, 1, 4)]
    assert chosen(signal("s", 2), options, 4).compute({"s": np.arange(4)}).tolist() == [3, 1, 4, 4]


def test_what_does_not_fit_is_refused():
    wire = Wire("sum", total([signal("a", 2), signal("b", 2)], 2, signed=False))
    assert wire.evaluate({"a": np.array([1]), "b": np.array([2])}).tolist() == [3]
    with pytest.raises(OverflowError, match="sum: 2 bits do not hold"):
        wire.evaluate({"a": np.array([2]), "b": np.array([2])})


def test_products_have_the_bits_that_they_need():
    a, b = signal("a", 3, signed=True), signal("b", 4)
    grid = {"a": np.arange(-4, 4)[:, None], "b": np.arange(16)[None]}
    assert (Wire("p", times(a, b)).evaluate(grid) == grid["a"] * grid["b"]).all()
    assert times(a, b).text == "a * $signed({1'b0, b})"


@pytest.mark.parametrize("width", [1, 5, 70])
def test_limits(width):
    assert limits(width, signed=False) == (0, 2**width - 1)
    assert limits(width, signed=True) == (-(2 ** (width - 1)), 2 ** (width - 1) - 1)
    assert bits_of(2**width - 1) == width
