"""Networks and data modules from plain configuration containers, as a checkpoint carries them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from apot_lit.data.mnist import MNISTDataModule
from apot_lit.errors import UserError
from apot_lit.models import ResNet
from apot_lit.quant import QuantSpec, quantize_model


@contextmanager
def user_values(section: str) -> Iterator[None]:
    """Turns a ValueError that begins with a name into a UserError that begins with its key."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{section}.{error}") from error


def build_datamodule(data: Mapping[str, Any], seed: int) -> MNISTDataModule:
    """Builds the data module.

    Args:
        data: the options of `MNISTDataModule` but its seed.
        seed: seed of the order of the training images and of augmentation.

    Raises:
        UserError: for a value outside what is allowed.
    """
    return MNISTDataModule(seed=seed, **data)


def build_network(model: Mapping[str, Any], quant: Mapping[str, Any], input_step: float | None) -> nn.Module:
    """Builds the float ResNet and quantises it.

    Args:
        model: the options of `ResNet`.
        quant: the options of `QuantSpec`.
        input_step: step of the integer grid that the input lies on, if it does, see `MNISTDataModule.input_step`.

    Raises:
        UserError: for a value outside what is allowed.
    """
    with user_values("quant"):
        spec = QuantSpec(**quant)
    with user_values("model"):
        network = ResNet(**model)
    return quantize_model(network, spec, input_step)
