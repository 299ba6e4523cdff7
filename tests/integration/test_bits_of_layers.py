"""Options of single layers, from the command line through checkpoint, evaluation and packed file."""

import json

import pytest
import torch

from apot_lit.quant import quant_layers
from apot_lit.runs.protocol import protocol, row
from apot_lit.stored.trained import read_trained

SMALL = [
    *("model=resnet10", "model.width=2", "data.train_images=64", "data.val_split=64", "trainer.max_epochs=1"),
    *("trainer.threads=1", "trainer.accelerator=cpu", "trainer.limit_test_batches=1", "quant.bit=3"),
]
GIVEN = "quant.overrides={layer1.*: {bit: 5, power: 0}, layer4.0.conv2: {act_bit: 2}, fc: {weight_bit: 4}}"
OVERRIDES = {
    "layer1.*": {"bit": 5, "power": 0},
    "layer4.0.conv2": {"act_bit": 2},
    "fc": {"weight_bit": 4},
}


def bits(network):
    return {name: (layer.weight_quantizer.bit, getattr(layer.act_quantizer, "bit", 32)) for name, layer in network}


@pytest.mark.slow
def test_a_run_carries_them_everywhere(run_script, tmp_path):
    outcome = run_script("train.py", *SMALL, GIVEN, f"hydra.run.dir={tmp_path}/run")
    assert outcome.code == 0, outcome.err
    checkpoint = tmp_path / "run/checkpoints/last.ckpt"
    trained = read_trained(str(checkpoint))
    assert trained.config["quant"]["overrides"] == OVERRIDES
    assert type(trained.config["quant"]["overrides"]) is dict
    found = bits(quant_layers(trained.network))
    assert found.pop("conv1") == (8, 8)
    assert found.pop("fc") == (4, 32)
    for name, pair in found.items():
        assert pair == ((5, 5) if name.startswith("layer1.") else (3, 2) if name == "layer4.0.conv2" else (3, 3)), name

    evaluated = run_script("evaluate.py", f"ckpt_path={checkpoint}", f"hydra.run.dir={tmp_path}/evaluation")
    assert evaluated.code == 0, evaluated.err
    evaluation = json.loads((tmp_path / "evaluation/evaluation.json").read_text())
    costs = {cost["name"]: cost for cost in evaluation["cost"]["layers"]}
    assert (costs["layer1.0.conv1"]["weight_bit"], costs["layer1.0.conv1"]["act_bit"]) == (5, 5)
    assert costs["layer4.0.conv2"]["bit_operations"] == costs["layer4.0.conv2"]["macs"] * 3 * 2
    assert costs["fc"]["quantized_kib"] == (costs["fc"]["parameters"] - 11) * 4 / 8192 + 11 / 256  # bias and threshold

    packed = tmp_path / "network.safetensors"
    exported = run_script(
        *("export.py", f"ckpt_path={checkpoint}", "format=packed", f"output={packed}"),
        f"hydra.run.dir={tmp_path}/export",
    )
    assert exported.code == 0, exported.err
    again = read_trained(str(packed))
    assert again.config["quant"]["overrides"] == OVERRIDES
    images = torch.randint(256, (4, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(again.network.eval()(images), trained.network.eval()(images))

    resumed = run_script("train.py", f"ckpt_path={checkpoint}", "quant.overrides={fc: {bit: 8}}")
    resumed.assert_refused(["was trained with quant.overrides=", "layer4.0.conv2"])


def test_runs_with_other_bits_of_layers_are_not_one_row(tmp_path):
    config = {
        **{section: {"name": name} for section, name in (("optimizer", "sgd"), ("scheduler", "constant"))},
        **{"data": {}, "trainer": {}, "model": {"name": "resnet10"}, "quant": {"bit": 3}},
    }

    def with_overrides(overrides):
        return {**config, "quant": {"bit": 3, "overrides": overrides}}

    assert protocol(with_overrides({})) == protocol(config)
    one, other = with_overrides({"fc": {"bit": 8}}), with_overrides({"fc": {"bit": 4}})
    assert row(one) == row(other)
    assert len({protocol(one), protocol(other), protocol(config)}) == 3
    first, second = ({"bit": 4}, {"bit": 8})
    assert protocol(with_overrides({"l*": first, "*1": second})) != protocol(
        with_overrides({"*1": second, "l*": first})
    )


def test_bfloat16_has_no_room_for_one_wide_layer(run_script, tmp_path):
    run_script(
        *(
            "train.py",
            *SMALL,
            "trainer.precision=bf16-mixed",
            "quant.overrides={layer2.0.conv1: {act_bit: 8, power: 1}}",
        ),
        f"hydra.run.dir={tmp_path}/run",
    ).assert_refused(["trainer.precision=bf16-mixed", "the input of layer2.0.conv1"])
