"""Batch-norm statistics in the checkpoints of `callbacks=best`."""

import pytest
import torch
from torch import nn

from apot_lit.data.datamodule import build_datamodule
from apot_lit.stored.trained import read_trained

TINY = ["model=resnet10", "model.width=2", "data.train_images=384", "data.eval_batch_size=384", "data.batch_size=64",
        "trainer.max_epochs=3", "trainer=cpu", "trainer.limit_test_batches=1", "callbacks=best"]  # fmt: skip


def statistics(path):
    """Running mean and variance of every batch norm in a checkpoint, and those of what its weights give it.

    The training images are one batch, so that the latter need no mean of batches.
    """
    config, network, _ = read_trained(str(path))
    ((images, _),) = build_datamodule(config).eval_loader("train")
    saved, measured, hooks = {}, {}, []
    for name, layer in network.named_modules():
        if isinstance(layer, nn.BatchNorm2d):

            def measure(_, inputs, name=name):
                var, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
                measured[name] = (mean, var)

            saved[name] = (layer.running_mean.clone(), layer.running_var.clone())
            hooks.append(layer.register_forward_pre_hook(measure))
    with torch.no_grad():
        network.train().to(memory_format=torch.channels_last)(images)  # as in training: sums round alike
    assert saved.keys() == measured.keys()
    assert len(saved) > 9
    return saved, measured


@pytest.mark.parametrize(
    ("arguments", "checkpoint"),
    [
        (["data.val_split=100"], "best"),
        (["data.val_split=0"], "last"),
        (["data.val_split=100", "trainer.check_val_every_n_epoch=2"], "last"),
    ],
    ids=["validation", "no_validation", "validation_every_second_epoch"],
)
def test_the_statistics_are_those_of_the_weights_saved_with_them(run_script, tmp_path, arguments, checkpoint):
    outcome = run_script("train.py", *TINY, f"hydra.run.dir={tmp_path}", *arguments)
    assert outcome.code == 0, outcome.err
    saved, measured = statistics(tmp_path / f"checkpoints/{checkpoint}.ckpt")
    torch.testing.assert_close(saved, measured, rtol=1e-3, atol=1e-4)


def test_they_are_not_without_re_estimation(run_script, tmp_path):
    outcome = run_script(
        "train.py", *TINY, f"hydra.run.dir={tmp_path}", "data.val_split=0", "~callbacks.reestimated_batch_norm"
    )
    assert outcome.code == 0, outcome.err
    saved, measured = statistics(tmp_path / "checkpoints/last.ckpt")
    with pytest.raises(AssertionError):
        torch.testing.assert_close(saved, measured, rtol=0.1, atol=0.01)
