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
_LETTERS = 14  # of the name of a class above a picture


def predictions_figure(predictions: Sequence[Prediction], names: Sequence[str]) -> Figure:
    """Draws the first `_MOST` pictures as the network reads them, each with the name of its class and probability."""
    shown = predictions[:_MOST]
    rows, columns = ceil(len(shown) / _COLUMNS), min(_COLUMNS, len(shown))
    figure, grid = pyplot.subplots(rows, columns, figsize=(1.1 * columns, 1.4 * rows), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, (_, pixels, probabilities) in zip(grid.flat, shown, strict=False):
        axes.imshow(pixels.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
        label = int(probabilities.argmax())
        title = f"{names[label][:_LETTERS]}  {100 * probabilities[label]:.0f} %"
        axes.set_title(title, fontsize=8 if len(title) < 10 else 6, parse_math=False)
    figure.tight_layout()
    return figure


def codes_figure(prediction: Prediction, names: Sequence[str], codes: Mapping[str, npt.NDArray[Any]]) -> Figure:
    """Draws the codes that each quantised layer reads: a row for a layer, a square for a channel.

    Args:
        prediction: of the picture.
        names: of the classes.
        codes: by layer, ``[C, H, W]``, ``[C, L]`` or ``[C]`` for one picture.
    """
    figure, grid = pyplot.subplots(len(codes), 1, figsize=(11, 0.5 + 0.8 * len(codes)), squeeze=False)
    for axes, (layer, values) in zip(grid[:, 0], codes.items(), strict=True):
        axes.imshow(
            _strip(values),
            cmap="magma",
            vmin=min(int(values.min()), 0),
            vmax=max(int(values.max()), 1),
            interpolation="nearest",
        )
        axes.set_axis_off()
        text = f"{layer}\n{values.shape[0]} channels, codes to {int(values.max())}"
        axes.text(-0.01, 0.5, text, transform=axes.transAxes, ha="right", va="center", fontsize=7)
    said = names[int(prediction.probabilities.argmax())]
    title = f"{prediction.name}: {said}; the first {_CHANNELS} channels that each layer reads"
    figure.suptitle(title, fontsize=9, parse_math=False)
    figure.subplots_adjust(left=0.22, right=0.99, top=1 - 0.4 / figure.get_figheight(), bottom=0.01)
    return figure


def _strip(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The first channels side by side, a line between them."""
    height = values.shape[1] if values.ndim == 3 else 1
    maps = values.reshape(len(values), height, -1)[:_CHANNELS]
    size = maps.shape[2] + max(1, maps.shape[2] // 14)
    strip = np.full((maps.shape[1], _CHANNELS * size), np.nan)
    for index, channel in enumerate(maps):
        strip[:, index * size : index * size + maps.shape[2]] = channel
    return strip
