"""Networks of other makers with pixels before them, and what must be seen of them before they are quantised."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from apot_lit.errors import UserError
from apot_lit.models.input import PixelInput
from apot_lit.models.libraries import library_network
from apot_lit.quant import Inputs, QuantSpec, expose_attention, find_inputs, quantize_model

_DEFAULTS = {"channels": 1, "size": 28, "classes": 10}
CALIBRATION_IMAGES = 64
"""Images that are enough to see which inputs are negative."""


def is_foreign(config: Mapping[str, Any]) -> bool:
    """Whether a configuration describes a network of another maker."""
    return "library" in config["model"]


def image_options(data: Mapping[str, Any]) -> tuple[int, int, int]:
    """Channels, height and width, and classes of the images that a section ``data`` describes."""
    channels, size, classes = (int(data.get(key, default)) for key, default in _DEFAULTS.items())
    return channels, size, classes


class ForeignNetwork(nn.Module):
    """A network between pixels and logits.

    Args:
        input: turns pixels into numbers.
        net: reads them, normalised.
        enlarge: height and width that images are enlarged to before, bilinearly; None: as they are.

    Shape:
        uint8 pixels ``[N, C, H, W]`` to what `net` gives.
    """

    def __init__(self, input: PixelInput, net: nn.Module, enlarge: int | None) -> None:
        super().__init__()
        self.input = input
        self.enlarge: nn.Module = nn.Identity() if enlarge is None else nn.Upsample(size=enlarge, mode="bilinear")
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits."""
        logits: Tensor = self.net(self.enlarge(self.input(images)))
        return logits


def foreign_network(config: Mapping[str, Any], pixels: PixelInput) -> ForeignNetwork:
    """Builds a float network with its input; attention in it has linear layers as projections.

    Raises:
        UserError: for one that is not known, or can't be built.
    """
    channels, _, classes = image_options(config["data"])
    net = library_network(config["model"], channels, classes)
    return ForeignNetwork(pixels, expose_attention(net), config["model"].get("enlarge"))


def observe(network: ForeignNetwork, config: Mapping[str, Any], images: Tensor | None) -> dict[str, Any]:
    """Looks at a float network while it computes.

    Args:
        network: what `foreign_network` returned; left as it was.
        config: the sections ``model`` and ``data``.
        images: some uint8 images of the training; None: blank ones.

    Returns:
        Plain containers: ``signed`` and ``idle`` of `apot_lit.quant.Inputs`, and ``integers``, whether the first layer
        reads the input's integers and nothing else does.

    Raises:
        UserError: for a network without layers to quantise, for images of another shape, or with other logits.
    """
    channels, size, classes = image_options(config["data"])
    blank = torch.zeros(2, channels, size, size, dtype=torch.uint8)
    model = config["model"]
    where = f"model._target_={model['_target_']}" if "_target_" in model else f"model.name={model['name']}"
    layers = [layer for layer in network.net.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)]
    if not layers:
        raise UserError(f"{where}: has no convolution or linear layer to quantise")
    try:
        logits, alone = _compute(network, layers, blank)
        found = find_inputs(network, blank if images is None else images)
    except Exception as error:  # whatever code of others raises
        reason = " ".join(str(error).split())[:160]
        larger = "another model.enlarge" if model.get("enlarge") else "model.enlarge=64, for one, enlarges them"
        raise UserError(f"{where}: can't take images of {channels}x{size}x{size} ({reason}); {larger}") from error
    given = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    wanted = [len(blank), classes]
    if given != wanted:
        raise UserError(f"{where}: gives {given} for {len(blank)} images, must give {wanted} (data.classes)")
    return {
        "signed": list(found.signed),
        "idle": list(found.idle),
        "integers": alone and _reads_integers(network, blank),
    }


@torch.no_grad()
def _compute(network: ForeignNetwork, layers: Sequence[nn.Module], images: Tensor) -> tuple[Any, bool]:
    """What a network gives in evaluation mode, and whether of the layers the first alone reads the pixels."""
    pixels: list[Any] = []
    readers: list[nn.Module] = []

    def note(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and inputs[0] is pixels[0]:
            readers.append(layer)

    hooks = [network.input.register_forward_hook(lambda module, inputs, output: pixels.append(output))]
    hooks += [layer.register_forward_pre_hook(note) for layer in layers]
    modes = [(module, module.training) for module in network.modules()]
    try:
        return network.eval()(images), readers == list(layers[:1])
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training


@torch.no_grad()
def _reads_integers(network: ForeignNetwork, images: Tensor) -> bool:
    """Whether a network takes the input's integers: code besides its first layer may look at what it is given."""
    try:
        quantize_model(network, QuantSpec(), inputs=Inputs()).eval()(images)
    except Exception:  # whatever code of others raises
        return False
    return True
