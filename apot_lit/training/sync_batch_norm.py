"""Batch norms whose statistics are those of all processes' images, on the CPU too."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import TorchSyncBatchNorm
from torch import Tensor, nn

from apot_lit.training.processes import sum_over_all


class SharedBatchNorm(nn.BatchNorm2d):
    """A batch norm that normalises by mean and variance over the batches of all processes while it is trained.

    ``y = (x - m) / sqrt(v + eps) * weight + bias`` with ``m = sum(x) / n`` and ``v = sum((x - m)^2) / n`` over the n
    values that a channel has in all batches together. In evaluation it is the batch norm that it was.

    Shape:
        ``[N, C, H, W]`` to the same; N may differ between processes.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalises a batch; every process must take part."""
        if not self.training:
            return super().forward(input)
        x = input.float()  # bfloat16 has no room for sums
        sums = torch.cat([x.sum((0, 2, 3)), x.new_tensor([x.numel() // self.num_features])])
        sums = sum_over_all(sums)
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = x - mean.view(-1, 1, 1)
        var = sum_over_all(centred.square().sum((0, 2, 3))) / count
        self._track(mean.detach(), var.detach() * count / (count - 1))
        factor = torch.rsqrt(var + self.eps) * self.weight
        return (centred * factor.view(-1, 1, 1) + self.bias.view(-1, 1, 1)).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(var, share)


class SharedBatchNorms(TorchSyncBatchNorm):
    """What ``trainer.sync_batchnorm=true`` does: torch's batch norms for several GPUs, `SharedBatchNorm` on the CPU."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Lets the batch norms of a LightningModule share their statistics."""
        assert isinstance(model, pl.LightningModule)
        if model.device.type != "cpu":
            return super().apply(model)
        return _change(model, nn.BatchNorm2d, SharedBatchNorm)

    def revert(self, model: nn.Module) -> nn.Module:
        """Takes back what `apply` did."""
        return _change(super().revert(model), SharedBatchNorm, nn.BatchNorm2d)


def _change(model: nn.Module, old: type[nn.Module], new: type[nn.Module]) -> nn.Module:
    for layer in model.modules():
        if type(layer) is old:
            layer.__class__ = new  # parameters, buffers, hooks and whoever holds the layer stay as they are
    return model
