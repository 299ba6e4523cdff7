"""Quantisation without training: what a run of no epochs fits, writes and refuses."""

import json

import pytest
import torch

from apot_lit.data.datamodule import build_datamodule
from apot_lit.models.build import build_network
from apot_lit.quant.initialize import initialize_alphas
from apot_lit.runs.checkpoint import checkpoint_config, load_checkpoint, load_network, network_state

TINY = ["model=resnet10", "model.width=2", "data.train_images=384", "data.val_split=100", "data.batch_size=64",
        "data.eval_batch_size=100", "trainer.limit_test_batches=1", "trainer.accelerator=cpu",
        "trainer.channels_last=false"]  # fmt: skip
PTQ = ["quant.bit=4", "quant.calibrate=3", "trainer.max_epochs=0"]


@pytest.fixture
def float_network(run_script, tmp_path):
    outcome = run_script("train.py", *TINY, "quant.bit=32", "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/fp")
    assert outcome.code == 0, outcome.err
    return tmp_path / "fp/checkpoints/best.ckpt"


def fitted_by_hand(path):
    """The network of a checkpoint's configuration, with thresholds and batch norms from its first 192 images."""
    config = checkpoint_config(load_checkpoint(path))
    network = build_network(config)
    load_network(network, network_state(load_checkpoint(config["init_from"])), "init_from", allow_alphas=True)
    datamodule = build_datamodule(config)
    datamodule.setup("fit")
    images = datamodule._sets["train"][0][datamodule._indices["train"]][:192]
    initialize_alphas(network, images)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    for batch in images.split(64):
        network.train()(batch)
    return network


def test_a_run_of_no_epochs_fits_the_network_and_ends_like_a_training(run_script, float_network, tmp_path):
    outcome = run_script("train.py", *TINY, *PTQ, f"init_from={float_network}", f"hydra.run.dir={tmp_path}/ptq")
    assert outcome.code == 0, outcome.err
    assert "fitted to 192 images, nearest rounding" in outcome.out
    best, last = (load_checkpoint(tmp_path / f"ptq/checkpoints/{name}.ckpt") for name in ("best", "last"))
    expected = fitted_by_hand(tmp_path / "ptq/checkpoints/best.ckpt").state_dict()
    for state in map(network_state, (best, last)):
        assert state.keys() == expected.keys()
        assert all(torch.allclose(state[name].double(), value.double(), rtol=1e-5) for name, value in expected.items())
    result = json.loads((tmp_path / "ptq/result.json").read_text())
    assert (result["epochs"], result["best_epoch"], result["history"]) == (0, 0, {})
    assert result["wall_seconds"] > 0
    assert {"train_accuracy", "val_accuracy", "test_accuracy", "confusion"} <= result.keys()
    here = ["split=val", "trainer.accelerator=cpu", f"hydra.run.dir={tmp_path}/evaluated"]
    outcome = run_script("evaluate.py", f"ckpt_path={tmp_path}/ptq/checkpoints/best.ckpt", *here)
    assert outcome.code == 0, outcome.err
    evaluated = json.loads((tmp_path / "evaluated/evaluation.json").read_text())
    assert evaluated["accuracy"] == pytest.approx(result["val_accuracy"])


@pytest.mark.slow
def test_training_goes_on_from_calibrated_thresholds_whatever_the_callbacks(run_script, float_network, tmp_path):
    """An average of the weights begins with them too, and initial thresholds from fewer images don't replace them."""
    start = [*TINY, "quant.bit=4", "quant.calibrate=3", f"init_from={float_network}", "callbacks=best"]
    outcome = run_script("train.py", *start, "trainer.max_epochs=0", f"hydra.run.dir={tmp_path}/none")
    assert outcome.code == 0, outcome.err
    path = tmp_path / "none/checkpoints/best.ckpt"
    expected = fitted_by_hand(path).state_dict()
    assert {"moving_average", "initial_thresholds"} <= checkpoint_config(load_checkpoint(path))["callbacks"].keys()
    state = network_state(load_checkpoint(path))
    alphas = [name for name in expected if name.endswith("raw_alpha")]
    assert len(alphas) == 22
    assert all(torch.allclose(state[name], expected[name]) for name in alphas)
    last = tmp_path / "none/checkpoints/last.ckpt"
    outcome = run_script("train.py", f"ckpt_path={last}", "trainer.max_epochs=2", "trainer.accelerator=cpu")
    assert outcome.code == 0, outcome.err
    assert json.loads((tmp_path / "none/result.json").read_text())["epochs"] == 2


@pytest.mark.slow
def test_learned_rounding_keeps_levels_as_weights(run_script, float_network, tmp_path):
    learned = ["quant.rounding=learned", "quant.weight_norm=false", f"init_from={float_network}"]
    outcome = run_script("train.py", *TINY, *PTQ, *learned, f"hydra.run.dir={tmp_path}/ptq")
    assert outcome.code == 0, outcome.err
    checkpoint = load_checkpoint(tmp_path / "ptq/checkpoints/best.ckpt")
    network = build_network(checkpoint_config(checkpoint))
    load_network(network, network_state(checkpoint), "best")
    layer = network.layer3[0].conv1
    assert torch.equal(layer.weight_quantizer(layer.weight).fake_quantized(), layer.weight)
    before = network_state(load_checkpoint(float_network))["layer3.0.conv1.weight"]
    assert 0 < float((layer.weight - before).abs().mean()) < float(before.abs().mean())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["quant.calibrate=0"], "quant.calibrate=0: must be"),
        (["quant.rounding=up"], "quant.rounding=up: must be nearest or learned"),
        (["quant.rounding=learned"], "quant.rounding=learned: needs images to learn from"),
        (["quant.rounding=learned", "quant.calibrate=2"], "quant.rounding=learned: needs weight_norm=false"),
        (["trainer.max_epochs=-1"], "trainer.max_epochs=-1: must be"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(run_script, tmp_path, options, said):
    run_script("train.py", *TINY, *options, f"hydra.run.dir={tmp_path}/run").assert_refused([said])
    assert not (tmp_path / "run/checkpoints").exists()
