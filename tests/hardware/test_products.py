"""Every way to write a product, for every pair of quantisers, on all pairs of operands: it is the product of codes."""

from itertools import product

import numpy as np
import pytest

from apot_lit.hardware.operands import Operand
from apot_lit.hardware.products import Multiplication, ways
from apot_lit.hardware.units import dot_product, fixed_dot_product, multiplier, multiply_accumulate, typical_weights
from apot_lit.quant.levels import level_set
from tests.hardware.conftest import PRODUCTS, SCHEMES, codes, integers, signed
from tests.quant import exact

BITS = range(2, 9)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_encoding_has_a_word_of_its_own_for_every_code(scheme, bits):
    levels = level_set(scheme, bits)
    for encoding, is_signed in product(("code", "index", "fields", "twos"), (False, True)):
        if encoding == "twos" and not is_signed:
            continue
        operand = Operand("x", levels, is_signed, encoding)
        expected = signed(scheme, bits + 1) if is_signed else codes(scheme, bits)
        assert operand.codes() == expected
        words = [operand.word(code) for code in expected]
        assert len(set(words)) == len(words)
        assert all(0 <= word < 2**operand.width for word in words)
        assert operand.word(0) == 0
        if encoding in ("index", "fields"):
            assert operand.width == bits + is_signed  # as many bits as the quantiser is said to have


@pytest.mark.parametrize("bits", range(1, 9))
def test_fields_of_uniform_levels_are_the_code(bits):
    operand = Operand("x", level_set("uniform", bits), False, "fields")
    assert [operand.word(code) for code in range(2**bits)] == list(range(2**bits))


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("scheme", ["apot", "pot"])
def test_fields_and_indices_are_decoded(scheme, bits):
    wide = scheme == "pot" and bits > 5
    for encoding in ("fields", "index"):
        operand = Operand("x", level_set(scheme, bits), False, encoding)
        wires, code = operand.decoded()
        values = {"x": integers([operand.word(one) for one in codes(scheme, bits)], wide)}
        for wire in wires:
            values[wire.name] = wire.evaluate(values)
        assert code.compute(values).tolist() == codes(scheme, bits)


def check_all_products(scheme, act_scheme, weight_bit, act_bit):
    """Independent of the level sets under test: codes come from the definition in fractions."""
    weights, activations = level_set(scheme, weight_bit - 1), level_set(act_scheme, act_bit)
    wide = (codes(scheme, weight_bit - 1)[-1] * codes(act_scheme, act_bit)[-1]).bit_length() > 59
    found = ways(weights, activations)
    assert len(found) == len({way.name for way in found}) >= 3
    w, a = integers(signed(scheme, weight_bit), wide)[:, None], integers(codes(act_scheme, act_bit), wide)[None]
    for way in found:
        weight, activation = Multiplication(weights, activations, way).operands()
        words = [integers([each.word(code) for code in each.codes()], wide) for each in (weight, activation)]
        inputs = {"weight": words[0][:, None] + 0 * a, "activation": words[1][None] + 0 * w}
        given = multiplier(weights, activations, way).evaluate(inputs)["product"]
        assert (given == w * a).all(), way.name


def is_huge(scheme, bits):
    return scheme == "pot" and bits > 5


def all_pairs(huge):
    pairs = product(SCHEMES, SCHEMES, BITS, BITS)
    return [one for one in pairs if (is_huge(one[0], one[2] - 1) or is_huge(one[1], one[3])) == huge]


@pytest.mark.parametrize(("scheme", "act_scheme"), list(product(SCHEMES, SCHEMES)))
def test_all_pairs_of_operands_of_every_pair_of_quantisers(scheme, act_scheme):
    for pair in all_pairs(huge=False):
        if pair[:2] == (scheme, act_scheme):
            check_all_products(*pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", all_pairs(huge=True))
def test_all_pairs_of_operands_of_huge_codes(pair):
    check_all_products(*pair)


@pytest.mark.parametrize(("scheme", "bit"), list(product(SCHEMES, (2, 3, 4, 5))))
def test_a_sum_holds_as_many_products_as_it_says_and_not_many_more(scheme, bit):
    weights, activations = level_set(scheme, bit - 1), level_set(scheme, bit)
    largest = codes(scheme, bit - 1)[-1] * codes(scheme, bit)[-1]
    for way in ways(weights, activations):
        unit = multiply_accumulate(weights, activations, way, PRODUCTS)
        weight, activation = Multiplication(weights, activations, way).operands()
        for sign in (1, -1):
            inputs = {
                "weight": np.array(weight.word(sign * weights.codes[-1])),
                "activation": np.array(activation.word(activations.codes[-1])),
            }
            held = sign * (PRODUCTS - 1) * largest
            assert unit.evaluate({**inputs, "sum": np.array(held)})["sum"] == sign * PRODUCTS * largest
            with pytest.raises(OverflowError):
                unit.evaluate({**inputs, "sum": np.array(sign * 2 * PRODUCTS * largest)})


@pytest.mark.parametrize(("scheme", "bit"), list(product(SCHEMES, (2, 3, 5))))
def test_dot_products_are_sums_of_products(scheme, bit):
    weights, activations = level_set(scheme, bit - 1), level_set(scheme, bit)
    random = np.random.default_rng(0)
    w = random.choice(integers(signed(scheme, bit), True), (50, 8))
    a = random.choice(integers(codes(scheme, bit), True), (50, 8))
    held = integers(random.integers(-99, 99, 50), True)
    for way in ways(weights, activations):
        weight, activation = Multiplication(weights, activations, way).operands()
        inputs = {"sum": held}
        for name, operand, values in (("weights", weight, w), ("activations", activation, a)):
            rows = [[operand.word(code) << (operand.width * lane) for lane, code in enumerate(row)] for row in values]
            inputs[name] = integers([sum(row) for row in rows], True)
        given = dot_product(weights, activations, way, PRODUCTS, 8).evaluate(inputs)["sum"]
        assert (given == held + (w * a).sum(1)).all(), way.name


@pytest.mark.parametrize("scheme", ["apot", "uniform"])
def test_fixed_weights_are_typical_ones(scheme):
    weights, activations = level_set(scheme, 3), level_set(scheme, 4)
    chosen = typical_weights(weights, 16)
    assert sorted(chosen) == chosen == [-code for code in reversed(chosen)]
    nearest = exact.BruteForce(exact.levels(scheme, 3))
    assert {abs(code) for code in chosen} <= set(nearest.codes)
    a = np.random.default_rng(1).choice(integers(codes(scheme, 4), True), 16)
    width = activations.codes[-1].bit_length()
    word = integers(sum(int(code) << (width * lane) for lane, code in enumerate(a)), True)
    unit = fixed_dot_product(weights, activations, PRODUCTS, chosen)
    given = unit.evaluate({"activations": word, "sum": integers(0, True)})["sum"]
    assert given == sum(int(x) * y for x, y in zip(a, chosen, strict=True))
