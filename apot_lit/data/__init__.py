"""MNIST: the embedded files, the splits, and loaders that live on the training device."""

from apot_lit.data.loader import BatchLoader, Normalisation
from apot_lit.data.mnist import MNISTDataModule

__all__ = ["BatchLoader", "MNISTDataModule", "Normalisation"]
