"""QuantSpec: what to quantise and how, validated once, immutable afterwards."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from apot_lit.quant.levels import LevelSet, Scheme, level_set
from apot_lit.quant.per_layer import Overrides
from apot_lit.quant.ranges import TRUTH, Number, OneOf, Range, check_options, option, or_null

FULL_PRECISION = 32
ALPHA_MIN = 1e-3
"""Smallest clipping threshold at which alpha is still the raw parameter itself, see `positive_alpha`."""
BITS = OneOf((*range(2, 9), FULL_PRECISION))
POWERS = OneOf((1, 0), " (powers of two, or uniform)")
_ALPHAS = Number(ALPHA_MIN, 1e6)
LAYER_OPTIONS: dict[str, Range] = {
    **dict.fromkeys(("bit", "weight_bit", "act_bit"), BITS),
    "power": POWERS,
    "additive": TRUTH,
    **dict.fromkeys(("weight_alpha", "act_alpha"), _ALPHAS),
    **dict.fromkeys(("weight_norm", "weight_per_channel", "signed"), TRUTH),
}
"""What `QuantSpec.overrides` may say of a layer."""


@dataclass(frozen=True)
class QuantSpec:
    """Description of a quantised network.

    Attributes:
        bit: bit width of the weights and activations of all layers but the first and the last; 2 to 8, or 32 for
            full precision everywhere in the network.
        power: 1 for powers of two, 0 for uniform levels.
        additive: with ``power=1``, True for sums of powers of two (APoT), False for plain powers of two (PoT).
        weight_bit: bit width of the weights where it differs from `bit`.
        act_bit: bit width of the activations where it differs from `bit`.
        first_bit: bit width of the first layer's weights (uniform, scaled by the largest magnitude).
        last_bit: the same for the last layer.
        edge_scale: scale of the first and last layers' weights: ``"absmax"``, the largest magnitude, or ``"max"``,
            the largest value, as the reference implementation has it (codes may then leave the signed range).
        weight_alpha: initial clipping threshold of weights, in standard deviations if `weight_norm`.
        act_alpha: initial clipping threshold of activations.
        weight_norm: normalise a layer's weights to mean 0 and standard deviation 1 before quantising.
        weight_per_channel: a clipping threshold for each output channel of a layer's weights, in place of one for all;
            they are normalised together all the same. Such networks can't be exported.
        grad_scale: factor on the gradient of every clipping threshold; None for none.
        overrides: options of single layers, those of `LAYER_OPTIONS`, by patterns of names as `fnmatch` has them,
            ``{"layer1.*": {"bit": 8}}``; a later pattern wins, ``bit`` stands for `weight_bit` and `act_bit`, and
            ``signed`` tells whether the layer's input is negative in places. The first and last layers, too, are
            quantised like the others in what a pattern gives them bits for.

    Raises:
        ValueError: if a value is outside what is allowed; one line that begins with the name of the attribute.

    Examples:
        >>> QuantSpec(bit=4).scheme
        'apot'
        >>> QuantSpec(bit=9)
        Traceback (most recent call last):
            ...
        ValueError: bit=9: must be one of 2, 3, 4, 5, 6, 7, 8, 32
        >>> QuantSpec(bit=4, overrides={"layer1.*": {"bit": 8, "power": 0}}).of_layer("layer1.0.conv1").weight_bit
        8
    """

    bit: int = option(5, BITS, "bits of weights and activations, 2 to 8; 32: float")
    power: int = option(1, POWERS, "1: powers of two, 0: uniform levels")
    additive: bool = option(True, TRUTH, "sums of powers of two (APoT), or plain ones (PoT)")
    weight_bit: int | None = option(None, or_null(BITS), "bits of the weights; null: as bit says")
    act_bit: int | None = option(None, or_null(BITS), "bits of the activations; null: as bit says")
    first_bit: int = option(8, BITS, "bits of the first layer's weights")
    last_bit: int = option(8, BITS, "bits of the last layer's weights")
    edge_scale: str = option("absmax", OneOf(("absmax", "max")), "scale of first and last weights: absmax or max")
    weight_alpha: float = option(3.0, _ALPHAS, "initial clipping threshold of weights")
    act_alpha: float = option(6.0, _ALPHAS, "initial clipping threshold of activations")
    weight_norm: bool = option(True, TRUTH, "normalise weights before they are quantised")
    weight_per_channel: bool = option(False, TRUTH, "a clipping threshold for each output channel of weights")
    grad_scale: float | None = option(
        None, or_null(Number(0, 1e6, above=True)), "factor on the gradients of thresholds; null: 1"
    )
    overrides: Mapping[str, Mapping[str, Any]] = option(
        Overrides(), None, "options of single layers by pattern, {layer1.*: {bit: 8}}"
    )

    def __post_init__(self) -> None:
        check_options(self)
        object.__setattr__(self, "overrides", Overrides(self.overrides, LAYER_OPTIONS))
        if self.overrides and self.bit == FULL_PRECISION:
            raise ValueError(f"overrides={self.overrides}: bit={FULL_PRECISION} is full precision everywhere")
        for name in ("weight_bit", "act_bit"):
            value = getattr(self, name)
            if value is not None and self.bit == FULL_PRECISION:
                raise ValueError(f"{name}={value}: bit={FULL_PRECISION} is full precision everywhere; set bit as well")

    @property
    def scheme(self) -> Scheme:
        """The scheme of the level sets."""
        if self.power == 0:
            return "uniform"
        return "apot" if self.additive else "pot"

    @property
    def full_precision(self) -> bool:
        """Whether nothing at all is quantised."""
        return self.bit == FULL_PRECISION

    def options_of_layer(self, name: str) -> dict[str, Any]:
        """What the patterns that match a layer's name say of it; ``bit`` as `weight_bit` and `act_bit`."""
        return Overrides(self.overrides, LAYER_OPTIONS).of_layer(name)

    def refuse_unused_overrides(self, names: Iterable[str]) -> None:
        """Refuses patterns that match no layer of a network.

        Raises:
            ValueError: one line that names the pattern and the layers near it.
        """
        Overrides(self.overrides, LAYER_OPTIONS).refuse_unused(names)

    def of_layer(self, name: str) -> "QuantSpec":
        """The description of one layer, its options in place of those of the network."""
        own = {key: value for key, value in self.options_of_layer(name).items() if key != "signed"}
        return replace(self, **own, overrides={})

    def weight_levels(self) -> LevelSet | None:
        """Levels of the weights' magnitudes (one bit is the sign); None where weights stay float."""
        bit = self.bit if self.weight_bit is None else self.weight_bit
        return None if bit == FULL_PRECISION else level_set(self.scheme, bit - 1)

    def act_levels(self, signed: bool = False) -> LevelSet | None:
        """Levels of the activations' magnitudes (one bit is the sign if signed); None where activations stay float."""
        bit = self.bit if self.act_bit is None else self.act_bit
        return None if bit == FULL_PRECISION else level_set(self.scheme, bit - signed)
