"""Where many trainings run, each runs on one device."""

from collections.abc import Mapping
from typing import Any

from apot_lit.errors import UserError


def refuse_several_devices(trainer: Mapping[str, Any], what: str, or_else: str = "") -> None:
    """Lightning's other processes repeat the command line, which for many trainings would be all of them.

    Args:
        trainer: the section.
        what: is run, for the message.
        or_else: another way out, for the message.

    Raises:
        UserError: if the training is one of several processes.
    """
    devices = trainer["devices"]
    one = len(devices) == 1 if isinstance(devices, list) else str(devices) == "1"
    several = not one or trainer["num_nodes"] > 1 or "ddp" in trainer["strategy"]
    if several:
        raise UserError(f"{what} runs on one device: give trainer.devices=1 trainer.strategy=auto{or_else}")
