import dataclasses

import pytest

from apot_lit.quant.spec import ALPHA_MIN, QuantSpec
from tests.quant import exact

BITS = "2, 3, 4, 5, 6, 7, 8, 32"


def test_defaults():
    spec = QuantSpec()
    assert (spec.bit, spec.power, spec.additive, spec.first_bit, spec.last_bit) == (5, 1, True, 8, 8)
    assert spec.edge_scale == "absmax"
    assert (spec.weight_alpha, spec.act_alpha, spec.weight_norm, spec.grad_scale) == (3.0, 6.0, True, None)


@pytest.mark.parametrize(
    ("power", "additive", "scheme"),
    [(1, True, "apot"), (1, False, "pot"), (0, True, "uniform"), (0, False, "uniform")],
)
@pytest.mark.parametrize("bit", range(2, 9))
def test_levels_of_weights_have_one_bit_less(bit, power, additive, scheme):
    spec = QuantSpec(bit=bit, power=power, additive=additive)
    assert spec.scheme == scheme
    assert not spec.full_precision
    assert spec.weight_levels().levels == exact.levels(scheme, bit - 1)
    assert spec.act_levels().levels == exact.levels(scheme, bit)


def test_bits_of_one_kind_override():
    spec = QuantSpec(bit=5, weight_bit=3)
    assert (spec.weight_levels().bits, spec.act_levels().bits) == (2, 5)
    spec = QuantSpec(bit=5, act_bit=3)
    assert (spec.weight_levels().bits, spec.act_levels().bits) == (4, 3)
    assert QuantSpec(bit=4, weight_bit=32).weight_levels() is None
    assert QuantSpec(bit=4, act_bit=32).act_levels() is None
    assert not QuantSpec(bit=4, act_bit=32).full_precision


def test_full_precision_has_no_levels():
    spec = QuantSpec(bit=32)
    assert spec.full_precision
    assert spec.weight_levels() is None
    assert spec.act_levels() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"bit": bit}, f"bit={bit}: must be one of {BITS}") for bit in (1, 0, -4, 9, 16, 33, 4.0, "4")),
        ({"bit": None}, f"bit=null: must be one of {BITS}"),
        *(({name: 1}, f"{name}=1: must be null or one of {BITS}") for name in ("weight_bit", "act_bit")),
        *(({name: 12}, f"{name}=12: must be one of {BITS}") for name in ("first_bit", "last_bit")),
        ({"first_bit": None}, f"first_bit=null: must be one of {BITS}"),
        ({"bit": 32, "weight_bit": 4}, "weight_bit=4: bit=32 is full precision everywhere; set bit as well"),
        ({"bit": 32, "act_bit": 32}, "act_bit=32: bit=32 is full precision everywhere; set bit as well"),
        ({"additive": 1}, "additive=1: must be true or false"),
        ({"edge_scale": "min"}, "edge_scale=min: must be absmax or max"),
        ({"power": 2}, "power=2: must be 1 or 0 (powers of two, or uniform)"),
        ({"power": -1}, "power=-1: must be 1 or 0 (powers of two, or uniform)"),
        *(
            ({name: value}, f"{name}={value}: must be a number from {ALPHA_MIN} to 1000000")
            for name in ("weight_alpha", "act_alpha")
            for value in (0.0, -3.0, ALPHA_MIN / 2, 1e7, float("inf"), float("nan"))
        ),
        *(
            ({"grad_scale": value}, f"grad_scale={value}: must be null or a number above 0, at most 1000000")
            for value in (0.0, -1.0, float("inf"), float("nan"))
        ),
    ],
)
def test_wrong_values_are_refused_with_one_line_that_names_them(options, message):
    with pytest.raises(ValueError, match=next(iter(options))) as error:
        QuantSpec(**options)
    assert str(error.value) == message


def test_limits_are_allowed():
    assert QuantSpec(weight_alpha=ALPHA_MIN, act_alpha=1e6, grad_scale=1e-6).weight_alpha == ALPHA_MIN
    assert QuantSpec(first_bit=2, last_bit=32).last_bit == 32


def test_specs_are_immutable_values():
    spec = QuantSpec(bit=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.bit = 4
    assert spec == QuantSpec(bit=3)
    assert len({spec, QuantSpec(bit=3), QuantSpec(bit=4)}) == 2
    assert QuantSpec(**dataclasses.asdict(spec)) == spec
    with pytest.raises(ValueError, match="bit=9"):
        dataclasses.replace(spec, bit=9)
