"""Confusion matrices as pictures."""

from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")

import torch
from matplotlib import pyplot
from matplotlib.figure import Figure
from torchmetrics.utilities.plot import plot_confusion_matrix

_MOST_NUMBERS = 20  # classes whose counts can be read in the cells


def confusion_figure(confusion: list[list[int]], names: Sequence[str]) -> Figure:
    """Draws a confusion matrix: counts in the cells, coloured by the share of errors of each class.

    Args:
        confusion: counts, a row per true class and a column per predicted one.
        names: of the classes; many or long ones are written upright on the axis of predictions.
    """
    counts = torch.tensor(confusion)
    numbers = len(names) <= _MOST_NUMBERS
    side = 6 if numbers else 9
    figure, axes = pyplot.subplots(figsize=(side, side - 0.4), layout="constrained")
    plot_confusion_matrix(counts, ax=axes, cmap="Reds", add_text=numbers, labels=list(names))
    # By count, the diagonal would leave errors without a colour.
    errors = counts.clone().fill_diagonal_(0) / counts.sum(1, keepdim=True).clamp(min=1)
    (image,) = axes.images
    image.set_data(errors.numpy())
    image.set_clim(0, max(float(errors.max()), 1e-9) / 0.6)  # so that black numbers are read on every colour
    for text in axes.texts:
        text.set(fontsize=9, color="black")
    axes.tick_params(labelrotation=0)
    if not numbers or max(map(len, names)) > 3:
        axes.tick_params("x", labelrotation=90)
    if not numbers:
        axes.tick_params(labelsize=max(2, min(9, 500 / len(names))))
    axes.set_title("Confusion matrix")
    return figure
