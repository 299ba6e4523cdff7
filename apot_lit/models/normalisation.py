"""What networks get to see of 8-bit pixels."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Normalisation:
    """Maps 8-bit pixels `p` to `(p / 255 - mean) / std`.

    Attributes:
        mean: Subtracted from pixels scaled to 0..1.
        std: Divides the difference; positive.

    Example:
        >>> import torch
        >>> normalisation = Normalisation(mean=33 / 255, std=0.5)
        >>> normalisation.zero_point
        33
        >>> normalisation(torch.tensor([33, 34], dtype=torch.uint8)) / normalisation.step
        tensor([0., 1.])
        >>> Normalisation(mean=0.1307, std=0.5).step is None
        True
    """

    mean: float
    std: float

    @property
    def zero_point(self) -> int | None:
        """The pixel value 0..255 that becomes 0, or None where `255 * mean` is not an integer (within 1e-6)."""
        nearest = round(255 * self.mean)
        return nearest if abs(255 * self.mean - nearest) <= 1e-6 else None

    @property
    def step(self) -> float | None:
        """The step `1 / (255 * std)` of the integer grid that normalised pixels lie on, or None without zero point."""
        return None if self.zero_point is None else 1 / (255 * self.std)

    @property
    def offset(self) -> float:
        """What is subtracted from pixels: the zero point, or `255 * mean` where there is none."""
        return 255 * self.mean if self.zero_point is None else float(self.zero_point)

    @property
    def scale(self) -> float:
        """What the difference is multiplied by; rounded to float32 here, so that it is the same on every device."""
        return float(np.float32(1 / (255 * self.std)))

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalises pixels on their device.

        With a zero point the result is exactly the integer `p - zero_point` times the step rounded to float32, with
        one rounding, so that dividing by the step and rounding recovers the integers. Dividing by 255 first would
        leave the grid.

        Args:
            pixels: uint8 tensor of any shape.

        Returns:
            float32 tensor of the same shape.
        """
        return (pixels.float() - self.offset) * self.scale
