"""What a network says of a picture."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Prediction(NamedTuple):
    """What a network says of one picture.

    Attributes:
        name: of the picture.
        pixels: what the network was given, ``[C, H, W]`` of 0 to 255.
        probabilities: ``[classes]``, the softmax of the logits.
    """

    name: str
    pixels: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float64]


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Probabilities ``exp(z_i) / sum_j exp(z_j)``, ``[N, classes]``, of logits of that shape."""
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))
