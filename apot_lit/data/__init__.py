"""MNIST: the embedded files, the splits, and loaders that live on the training device."""

from apot_lit.data.loader import BatchLoader
from apot_lit.data.mnist import MNISTDataModule
from apot_lit.models.normalisation import Normalisation

__all__ = ["BatchLoader", "MNISTDataModule", "Normalisation"]
