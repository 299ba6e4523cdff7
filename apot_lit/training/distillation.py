"""Knowledge distillation: a trained network as a second teacher besides the labels."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apot_lit.stored.trained import read_trained


class Distillation:
    """Adds to the cross entropy with the labels that with a teacher's softened predictions.

    With logits z, the teacher's t and temperature T the loss is
    ``(1 - w) * CE(z, labels) + w * T^2 * KL(softmax(t / T) || softmax(z / T))``.

    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2.

    Args:
        teacher: network from pixels to logits; used in evaluation mode, never trained.
        weight: w, from 0 to 1.
        temperature: T, positive.
    """

    def __init__(self, teacher: nn.Module, weight: float, temperature: float) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.weight = weight
        self.temperature = temperature

    def loss(self, images: Tensor, logits: Tensor, labels_loss: Tensor) -> Tensor:
        """Returns the loss of a batch.

        Args:
            images: the batch, on the training device.
            logits: ``[N, classes]`` of the network that learns.
            labels_loss: its mean cross entropy with the labels.
        """
        with torch.no_grad():
            taught = F.log_softmax(self.teacher.to(images.device)(images) / self.temperature, dim=1)
        learned = F.log_softmax(logits / self.temperature, dim=1)
        divergence = F.kl_div(learned, taught, reduction="batchmean", log_target=True)
        return (1 - self.weight) * labels_loss + self.weight * self.temperature**2 * divergence


def load_distillation(config: Mapping[str, Any]) -> Distillation | None:
    """Loads the teacher that ``distill_from`` names, None if it names none.

    Raises:
        UserError: for a checkpoint that cannot be read.
    """
    path = config["distill_from"]
    if path is None:
        return None
    teacher = read_trained(path, "distill_from").network
    return Distillation(teacher, config["distill_weight"], config["distill_temperature"])
