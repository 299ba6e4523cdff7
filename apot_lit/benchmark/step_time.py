"""Time of a training step, as a ratio to that of the float32 network as it is usually written."""

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from apot_lit.benchmark.setting import Setting
from apot_lit.benchmark.timing import ratio, summary
from apot_lit.quant import keep_sums_exact
from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.training.optimizers import build_optimizer
from apot_lit.training.trainer import compile_mode

BASE = "float32"
"""Without quantisation, in eager mode, contiguous, torch's SGD as it is by default."""

_BATCHES = 8


def train_step(network: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor) -> None:
    """One training step as it is written without any framework."""
    optimizer.zero_grad()
    F.cross_entropy(network(images), labels).backward()
    optimizer.step()


def measure_steps(setting: Setting) -> list[dict[str, Any]]:
    """Times the step of every configured network, bit width and variant.

    Each network is timed in turns with the float32 network as it is usually written: eager mode, contiguous tensors,
    `torch.optim.SGD` as it is by default.

    Returns:
        One row per network, scheme, bit width and variant: ``ms``, ``float_ms`` and ``ratio``.
    """
    keep_sums_exact()  # as in training
    config = setting.config
    networks = [
        ("float", FULL_PRECISION),
        *(("apot", bit) for bit in config["apot_bits"]),
        *(("uniform", bit) for bit in config["uniform_bits"]),
    ]
    rows = []
    for model, (scheme, bit) in itertools.product(config["models"], networks):
        variants = ["contiguous", "channels_last"]
        if setting.compile and bit in (*config["compile_bits"], FULL_PRECISION):
            variants.append("compiled")
        print(f"training steps: {model} {scheme} {bit} bits: {', '.join(variants)}", flush=True)
        functions = {BASE: _step(setting, model, "float", FULL_PRECISION, BASE)}
        functions |= {variant: _step(setting, model, scheme, bit, variant) for variant in variants}
        times = setting.timer.interleaved(functions)
        rows += [
            {
                "model": model,
                "scheme": scheme,
                "bit": bit,
                "variant": variant,
                "ms": summary(times[variant]),
                "float_ms": summary(times[BASE]),
                "ratio": ratio(times[variant], times[BASE]),
            }
            for variant in variants
        ]
        del functions
        if "compiled" in variants:
            torch.compiler.reset()  # so that the next network neither meets the limit of recompilations nor our guards
    return rows


def measure_bits(setting: Setting) -> list[dict[str, Any]]:
    """Times the steps of APoT at 2 and at 8 bits in turns, where both are among the configured bit widths.

    Returns:
        One row per network, with the ``ratio`` of 8 bits to 2 bits, in channels-last format.
    """
    if not {2, 8} <= set(setting.config["apot_bits"]):
        return []
    rows = []
    for model in setting.config["models"]:
        print(f"training steps: {model} apot 8 bits against 2 bits", flush=True)
        functions = {str(bit): _step(setting, model, "apot", bit, "channels_last") for bit in (2, 8)}
        times = setting.timer.interleaved(functions)
        rows.append(
            {
                "model": model,
                "ms": {bit: summary(values) for bit, values in times.items()},
                "ratio": ratio(times["8"], times["2"]),
            }
        )
    return rows


def _step(setting: Setting, model: str, scheme: str, bit: int, variant: str) -> Callable[[], None]:
    """A function that trains a network of its own by one step, on the next of a few batches."""
    network = setting.network(model, scheme, bit).train()
    batch_size = setting.config["data"]["batch_size"]
    batches = list(setting.loader("train", _BATCHES * batch_size, batch_size))
    if variant not in (BASE, "contiguous"):
        network = network.to(memory_format=torch.channels_last)
        batches = [(images.contiguous(memory_format=torch.channels_last), labels) for images, labels in batches]
    if variant == "compiled":
        network.compile(mode=compile_mode(setting.device.type == "cuda"))
    options = setting.config["optimizer"]
    optimizer: Optimizer = build_optimizer(network, options)
    if variant == BASE:
        usual = {key: options[key] for key in ("lr", "momentum", "weight_decay") if key in options}
        optimizer = SGD(network.parameters(), **usual)
    endless = itertools.cycle(batches)
    return lambda: train_step(network, optimizer, *next(endless))
