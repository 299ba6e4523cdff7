from fractions import Fraction

import pytest

from apot_lit.quant.levels import level_set
from tests.quant import exact

LITERAL = {
    1: (1, [0, 1]),
    2: (4, [0, 1, 2, 4]),
    3: (10, [0, 1, 2, 3, 4, 6, 8, 10]),
    4: (48, [0, 1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 32, 33, 36, 48]),
    5: (
        100,
        [*range(9), 10, 12, 14, 16, 17, 20, 21, 24, 28, 32, 34, 36, 38, 48, 52, 64, 65, 68, 69, 72, 76, 96, 100],
    ),
}
SUMS = {
    6: (448, [{0, 4, 32, 256}, {0, 2, 16, 128}, {0, 1, 8, 64}]),
    7: (904, [{0, 4, 64, 512}, {0, 2, 32, 256}, {0, 1, 16, 128}, {0, 8}]),
    8: (3840, [{0, 8, 128, 2048}, {0, 4, 64, 1024}, {0, 2, 32, 512}, {0, 1, 16, 256}]),
}
cases = pytest.mark.parametrize("bits", exact.ALL_BITS)
schemes = pytest.mark.parametrize("scheme", exact.SCHEMES)


@pytest.mark.parametrize("bits", LITERAL)
def test_small_apot_sets_literally(bits):
    denominator, codes = LITERAL[bits]
    assert level_set("apot", bits).denominator == denominator
    assert list(level_set("apot", bits).codes) == codes


@pytest.mark.parametrize("bits", SUMS)
def test_large_apot_sets_are_the_listed_sums(bits):
    denominator, term_list = SUMS[bits]
    sums = {0}
    for term in term_list:
        sums = {total + entry for total in sums for entry in term}
    assert level_set("apot", bits).denominator == denominator
    assert list(level_set("apot", bits).codes) == sorted(sums)


@cases
@schemes
def test_levels_follow_from_the_definition_of_the_terms(scheme, bits):
    assert level_set(scheme, bits).levels == exact.levels(scheme, bits)


@cases
@schemes
def test_there_are_two_to_the_bits_levels_from_0_to_1(scheme, bits):
    levels = level_set(scheme, bits)
    assert len(levels.codes) == len(set(levels.codes)) == 2**bits
    assert levels.codes == tuple(sorted(levels.codes))
    assert levels.levels[0] == 0
    assert levels.levels[-1] == 1
    assert levels.codes[-1] == levels.denominator


@cases
def test_uniform_levels_are_equidistant(bits):
    levels = level_set("uniform", bits)
    assert levels.levels == tuple(Fraction(j, 2**bits - 1) for j in range(2**bits))
    assert levels.codes == tuple(range(2**bits))


@cases
def test_pot_levels_are_powers_of_two(bits):
    expected = [Fraction(0), *(Fraction(1, 2**j) for j in reversed(range(2**bits - 1)))]
    assert list(level_set("pot", bits).levels) == expected


@cases
@schemes
def test_non_zero_entries_of_terms_are_powers_of_two(scheme, bits):
    term_list = level_set(scheme, bits).terms
    for term in term_list:
        assert term[0] == 0
        assert all(entry > 0 and entry.bit_count() == 1 for entry in term[1:])
    assert sorted(map(len, term_list)) == sorted(map(len, exact.terms(scheme, bits)))


@cases
@schemes
def test_exact_projection_is_the_nearest_level(scheme, bits):
    levels, expected = level_set(scheme, bits), exact.levels(scheme, bits)
    stride = 1 if bits < 7 else 5
    brute_force = exact.BruteForce(expected)
    for ratio in [*exact.midpoints(expected)[::stride], *(Fraction(i, 71) for i in range(80)), *expected[::stride]]:
        assert levels.project(ratio) == brute_force.nearest(ratio, False) * levels.denominator


@pytest.mark.parametrize(("scheme", "bits"), [("apot", 8), ("pot", 3), ("uniform", 6), ("apot", 1)])
def test_half_grid_holds_the_projection_of_every_half_step(scheme, bits):
    levels, expected = level_set(scheme, bits), exact.levels(scheme, bits)
    table, brute_force = levels.half_grid(), exact.BruteForce(expected)
    assert len(table) == 2 * levels.denominator + 1
    for index in range(0, len(table), 1 if len(table) < 500 else 37):
        ratio = Fraction(index, 2 * levels.denominator)
        assert table[index] == brute_force.nearest(ratio, False) * levels.denominator


def test_negative_magnitude_is_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        level_set("apot", 3).project(Fraction(-1, 7))


@pytest.mark.parametrize("bits", [0, -1, 9, 32])
@schemes
def test_bits_out_of_range_are_refused(scheme, bits):
    with pytest.raises(ValueError, match=rf"bits must be from 1 to 8, got {bits}$"):
        level_set(scheme, bits)


@pytest.mark.parametrize("scheme", ["APoT", "", "additive"])
def test_unknown_schemes_are_refused(scheme):
    with pytest.raises(ValueError, match="scheme must be"):
        level_set(scheme, 4)
