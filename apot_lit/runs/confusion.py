"""Confusion matrices as pictures."""

import matplotlib

matplotlib.use("Agg")

import torch
from matplotlib import pyplot
from matplotlib.figure import Figure
from torchmetrics.utilities.plot import plot_confusion_matrix


def confusion_figure(confusion: list[list[int]]) -> Figure:
    """Draws a confusion matrix: counts in the cells, coloured by the share of errors of each class.

    Args:
        confusion: counts, a row per true class and a column per predicted one.
    """
    counts = torch.tensor(confusion)
    figure, axes = pyplot.subplots(figsize=(6, 5.6), layout="constrained")
    plot_confusion_matrix(counts, ax=axes, cmap="Reds")
    # By count, the diagonal would leave errors without a colour.
    errors = counts.clone().fill_diagonal_(0) / counts.sum(1, keepdim=True).clamp(min=1)
    (image,) = axes.images
    image.set_data(errors.numpy())
    image.set_clim(0, max(float(errors.max()), 1e-9) / 0.6)  # so that black numbers are read on every colour
    for text in axes.texts:
        text.set(fontsize=9, color="black")
    axes.tick_params(labelrotation=0)
    axes.set_title("Confusion matrix")
    return figure
