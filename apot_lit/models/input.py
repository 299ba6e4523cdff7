"""What turns pixels into the numbers that a network's first layer reads."""

from fractions import Fraction

from torch import Tensor

from apot_lit.quant.functional import round_codes
from apot_lit.quant.quantizers import Codes, NetworkInput
from apot_lit.quant.ranges import Number, check
from apot_lit.quant.spec import FULL_PRECISION

MAX_MULTIPLIER = 256
RANGES = {"mean": Number(0, 1), "std": Number(0.001, 1000)}


class PixelInput(NetworkInput):
    """Normalises pixels p of 0 to 255: ``(p / 255 - mean) / std``.

    Where ``255 * mean`` is a fraction ``r / q`` with a small q, as 33 = 33 / 1 and 33.405 = 6681 / 200 are, that is the
    integer ``q p - r`` times the step ``1 / (255 q std)``: zero padding is the pixel ``r / q`` exactly, and a quantised
    first layer computes on the integers. Its sums are exact in float32 for q = 1, and rounded where they pass 2^24.

    Args:
        mean: of the pixels scaled to 0 to 1; from 0 to 1.
        std: their standard deviation; from 0.001 to 1000.

    Attributes:
        multiplier: q; 1 where there is no such fraction.
        offset: r; ``255 * mean`` where there is no such fraction.

    Shape:
        integer pixels, or float images of 0 to 1 as torchvision gives them, of any shape to float32 of the same shape;
        a first layer that reads integers gets those of the nearest pixel values. With `gives_codes`, `Codes` of them.

    Raises:
        ValueError: for a mean or deviation out of range; one line that begins with its name.

    Examples:
        >>> import torch
        >>> pixels = PixelInput(mean=33 / 255, std=0.5)
        >>> pixels.multiplier, pixels.offset
        (1, 33)
        >>> pixels(torch.tensor([33, 34], dtype=torch.uint8)) / pixels.step
        tensor([0., 1.])
        >>> PixelInput(mean=0.131, std=0.308).offset, PixelInput(mean=0.1307, std=0.3081).step
        (6681, None)
    """

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        check("mean", mean, RANGES["mean"])
        check("std", std, RANGES["std"])
        self.mean, self.std = mean, std
        fraction = Fraction(255 * mean).limit_denominator(MAX_MULTIPLIER)
        # Nearly every number has such a fraction within 1e-5; only one written with few digits has it within 1e-9.
        exact = abs(255 * mean - fraction) <= (1e-6 if fraction.denominator == 1 else 1e-9)
        self.multiplier = fraction.denominator if exact else 1
        self.offset: float = fraction.numerator if exact else 255 * mean
        self.step = 1 / (255 * self.multiplier * std) if exact else None
        self.bit = (255 * self.multiplier).bit_length() if exact else FULL_PRECISION

    def forward(self, images: Tensor) -> Tensor | Codes:
        """Returns normalised pixels, or their integers with the step."""
        fractions = images.is_floating_point()
        pixels = images.float() * 255 if fractions else images.float()
        if self.gives_codes:
            whole = round_codes(pixels, 1.0) if fractions else pixels
            return Codes(whole * self.multiplier - self.offset, self.step)
        # The only rounding: what precedes it is exact in integers.
        return (pixels * self.multiplier - self.offset) * (1 / (255 * self.multiplier * self.std))

    def extra_repr(self) -> str:
        """Mean and deviation for ``repr(model)``."""
        return f"mean={self.mean:.6g}, std={self.std:.6g}"
