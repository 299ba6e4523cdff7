"""Sheets of pictures: what the network reads and says, and its codes layer by layer."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
import numpy.typing as npt
from matplotlib import pyplot
from matplotlib.figure import Figure

from apot_lit.predict.prediction import Prediction

_MOST = 100
_COLUMNS = 10
_CHANNELS = 16


def predictions_figure(predictions: Sequence[Prediction]) -> Figure:
    """Draws the first `_MOST` pictures as the network reads them, each with its class and probability."""
    shown = predictions[:_MOST]
    rows, columns = ceil(len(shown) / _COLUMNS), min(_COLUMNS, len(shown))
    figure, grid = pyplot.subplots(rows, columns, figsize=(1.1 * columns, 1.4 * rows), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, (_, digit, probabilities) in zip(grid.flat, shown, strict=False):
        axes.imshow(digit, cmap="gray", vmin=0, vmax=255)
        label = int(probabilities.argmax())
        axes.set_title(f"{label}  {100 * probabilities[label]:.0f} %", fontsize=8)
    figure.tight_layout()
    return figure


def codes_figure(prediction: Prediction, codes: Mapping[str, npt.NDArray[Any]]) -> Figure:
    """Draws the codes that each quantised layer reads: a row for a layer, a square for a channel.

    Args:
        prediction: of the picture.
        codes: by layer, ``[C, H, W]`` or ``[C]`` for one picture.
    """
    figure, grid = pyplot.subplots(len(codes), 1, figsize=(11, 0.5 + 0.8 * len(codes)), squeeze=False)
    for axes, (layer, values) in zip(grid[:, 0], codes.items(), strict=True):
        axes.imshow(_strip(values), cmap="magma", vmin=0, vmax=max(int(values.max()), 1), interpolation="nearest")
        axes.set_axis_off()
        text = f"{layer}\n{values.shape[0]} channels, codes to {int(values.max())}"
        axes.text(-0.01, 0.5, text, transform=axes.transAxes, ha="right", va="center", fontsize=7)
    label = int(prediction.probabilities.argmax())
    figure.suptitle(f"{prediction.name}: {label}; the first {_CHANNELS} channels that each layer reads", fontsize=9)
    figure.subplots_adjust(left=0.22, right=0.99, top=1 - 0.4 / figure.get_figheight(), bottom=0.01)
    return figure


def _strip(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The first channels side by side, a line between them."""
    maps = values.reshape(values.shape[0], *(values.shape[1:] or (1, 1)))[:_CHANNELS]
    size = maps.shape[2] + max(1, maps.shape[2] // 14)
    strip = np.full((maps.shape[1], _CHANNELS * size), np.nan)
    for index, channel in enumerate(maps):
        strip[:, index * size : index * size + maps.shape[2]] = channel
    return strip
