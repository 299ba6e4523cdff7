"""A network of integers as one page: draw a digit, and see what the network makes of it."""

from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from torch import Tensor

from apot_lit.errors import UserError
from apot_lit.export.c_source import build_c
from apot_lit.export.web_module import build_modules
from apot_lit.export.web_parts import DIGITS, pack, parts_of, with_checksum
from apot_lit.integer.executor import Executor
from apot_lit.integer.network import ChannelThreshold, IntegerNetwork, Threshold
from apot_lit.runs.text import percent

_SHAPE = (1, 28, 28)
_RIGHT_OF_A_CLASS, _MOST_WRONG, _BATCH = 4, 60, 500


def write_web(network: IntegerNetwork, title: str, images: Tensor, labels: Tensor, path: Path) -> None:
    """Writes a page that holds all that it needs: the network as WebAssembly, digits of a test set, script and style.

    On the sheet are the first digits of each class that the network reads rightly, and those that it doesn't.

    Args:
        network: what to write; it reads images of 1 x 28 x 28 pixels.
        title: what the network is, in a few words.
        images: uint8 ``[N, 1, 28, 28]``, the test set.
        labels: ``[N]``.
        path: file to write.

    Raises:
        UserError: for a network that reads anything else or that the C runtime can't compute, or without a compiler.
    """
    if network.input_shape != _SHAPE:
        found, wanted = (" x ".join(map(str, shape)) for shape in (network.input_shape, _SHAPE))
        raise UserError(f"format=web: a drawing has {wanted} pixels, the network reads {found}")
    modules = build_modules(build_c(network, title))
    executor = Executor(network)
    answers = torch.cat([executor(batch).argmax(1) for batch in images.split(_BATCH)])
    is_right = answers == labels
    right = [n for label in range(10) for n in (is_right & (labels == label)).nonzero().flatten()[:_RIGHT_OF_A_CLASS]]
    wrong = (~is_right).nonzero().flatten()[:_MOST_WRONG].tolist()
    chosen = [*map(int, right), *wrong]
    digits = [{"index": n, "label": int(labels[n]), "answer": int(answers[n])} for n in chosen]
    largest = {step.layer: max(step.codes) for step in network.steps if isinstance(step, Threshold | ChannelThreshold)}
    facts: dict[str, Any] = {"logit_scale": network.logit_scale, "largest": largest, "digits": digits}
    parts = {**parts_of(modules), DIGITS: images[chosen].numpy().tobytes()}
    environment = Environment(
        loader=PackageLoader("apot_lit.export", "web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("page.html.j2").render(
        title=title,
        accuracy=percent(float(is_right.double().mean())),
        images=f"{len(images):,}",
        mistakes=int((~is_right).sum()),
        right=digits[: len(right)],
        wrong=digits[len(right) :],
        facts=facts,
        parts={name: pack(part) for name, part in parts.items()},
    )
    path.write_text(with_checksum(page))
