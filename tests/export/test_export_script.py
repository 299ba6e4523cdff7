"""export.py from end to end, and its refusals."""

import json

import pytest
import torch

from apot_lit.data.sources import load_set
from apot_lit.errors import UserError
from apot_lit.quant.convert import quant_layers
from tests.conftest import slowly
from tests.export.conftest import digits, save_checkpoint, trained


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Checkpoints of this project, made without training: what export.py reads is what train.py writes."""
    directory = tmp_path_factory.mktemp("checkpoints")
    for name, bit, power in (("apot3", 3, 1), ("uniform2", 2, 0), ("float", 32, 1), ("apot7", 7, 1)):
        save_checkpoint(directory / f"{name}.ckpt", bit, power)
    return directory


@pytest.fixture
def export(run_script, tmp_path, checkpoints):
    def run(name, *arguments, code=0):
        overrides = [f"ckpt_path={checkpoints}/{name}.ckpt", f"hydra.run.dir={tmp_path}/run", *arguments]
        outcome = run_script("export.py", *overrides)
        assert outcome.code == code, outcome.err
        return outcome

    return run


def count_codes(network):
    """Inputs of all quantised layers but the first and last, for one image."""
    sizes = {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: sizes.update({name: inputs[0][0].numel()}))
        for name, layer in quant_layers(network)
    ]
    network(digits()[0][:1])
    for hook in hooks:
        hook.remove()
    return sum(list(sizes.values())[1:-1])


@pytest.mark.parametrize("kind", ["onnx", *slowly("packed", "c")])
@pytest.mark.parametrize("name", ["apot3", *slowly("uniform2")])
def test_each_format_is_written_and_verified_on_all_test_images(export, tmp_path, name, kind):
    target = tmp_path / {"onnx": "net.onnx", "packed": "net.safetensors", "c": "net"}[kind]
    outcome = export(name, f"format={kind}", f"output={target}")
    assert "activation codes of 10,000 images are equal" in outcome.out
    assert "shift-adds per MAC" in outcome.out
    result = json.loads((tmp_path / "run/export.json").read_text())
    network = trained(int(name[-1]), int(name == "apot3"), width=4)
    weights = sum(layer.weight.numel() for _, layer in quant_layers(network))
    # Each layer but the first and the last reads codes; its input's size is counted apart from the package.
    codes = 10_000 * count_codes(network)
    assert f"verified: {weights:,} weights, and all logits and {codes:,} activation codes" in outcome.out
    assert result["verification"] == {"images": 10_000, "weights": weights, "codes": codes}
    assert result["stream_bit"] == 16
    images, labels = digits()
    with torch.no_grad():
        right = sum(
            int((network(i).argmax(1) == j).sum()) for i, j in zip(images.split(500), labels.split(500), strict=True)
        )
    arithmetic = result["arithmetic"]
    assert abs(arithmetic["right_in_floats"] - right) <= 2  # a tie may fall otherwise in another memory format
    assert abs(arithmetic["right"] - right) <= arithmetic["differing_predictions"] + 2
    before = target.stat().st_mtime_ns
    assert f"written:\n  {target}\n  {tmp_path}/run/export.json" in outcome.out
    outcome = export(name, "format=verify", f"output={target}")
    assert f"written:\n  {tmp_path}/run/export.json" in outcome.out
    assert target.stat().st_mtime_ns == before

    export(name, f"format={kind}", f"output={target}", code=2).assert_refused([str(target), "overwrite=true"])
    assert target.stat().st_mtime_ns == before


@pytest.mark.slow
def test_overwriting_is_asked_for_and_another_network_is_noticed(export, tmp_path):
    target = tmp_path / "net.onnx"
    export("apot3", "format=onnx", f"output={target}")
    export("uniform2", "format=verify", f"output={target}", code=2).assert_refused(["verification failed"])
    export("uniform2", "format=onnx", f"output={target}", "overwrite=true")
    export("uniform2", "format=verify", f"output={target}")


def test_a_directory_of_other_things_is_never_overwritten(export, tmp_path):
    target = tmp_path / "thesis"
    (target / "chapters").mkdir(parents=True)
    (target / "chapters/one.tex").write_text("mine")
    outcome = export("apot3", "format=c", f"output={target}", "overwrite=true", code=2)
    outcome.assert_refused([f"output={target}", "holds chapters, which no export wrote"])
    assert (target / "chapters/one.tex").read_text() == "mine"


def few(*arguments):
    images, labels = load_set(*arguments)
    return images[:20], labels[:20]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "packed", "c"])
def test_a_failed_verification_leaves_the_old_export_and_no_new_one(export, tmp_path, monkeypatch, kind):
    target = tmp_path / "net"
    with monkeypatch.context() as patch:
        patch.setattr("apot_lit.export.write.load_set", few)
        export("apot3", f"format={kind}", f"output={target}")
    before = {path: path.read_bytes() for path in tmp_path.rglob("net*") if path.is_file()}
    before |= {path: path.read_bytes() for path in target.rglob("*")}

    def fail(*_arguments):
        raise UserError("verification failed: on purpose")

    monkeypatch.setattr("apot_lit.export.write.verify", fail)
    for place in (target, tmp_path / "other"):
        export("apot3", f"format={kind}", f"output={place}", "overwrite=true", code=2).assert_refused(["on purpose"])
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net", "run"]


@pytest.mark.parametrize("stream_bit", [8, 12])
def test_the_stream_is_as_wide_as_asked_for(export, tmp_path, monkeypatch, stream_bit):
    monkeypatch.setattr("apot_lit.export.write.load_set", few)
    target = tmp_path / "net.onnx"
    export("apot3", "format=onnx", f"output={target}", f"export.stream_bit={stream_bit}")
    assert json.loads((tmp_path / "run/export.json").read_text())["stream_bit"] == stream_bit
    export("apot3", "format=verify", f"output={target}", f"export.stream_bit={stream_bit}")
    # Codes of another stream are other codes.
    export("apot3", "format=verify", f"output={target}", code=2).assert_refused(["verification failed"])


@pytest.mark.parametrize(
    ("name", "arguments", "parts"),
    [
        ("apot3", ["format=tflite"], ["format=tflite", "onnx, packed, c, microcontroller, web, verify"]),
        ("apot3", [], ["format"]),
        ("missing", ["format=onnx"], ["missing.ckpt", "no such file"]),
        ("apot7", ["format=onnx"], ["layer layer1.0.conv1", "don't fit into 8 bits"]),
        ("float", ["format=packed"], ["layer conv1: has float weights; integers need"]),
        ("float", ["format=onnx"], ["layer conv1: has float weights; integers need"]),
        ("apot3", ["format=c", "export.stream_bit=17"], ["export.stream_bit=17", "8 to 16"]),
        ("apot3", ["format=verify"], ["output"]),
        ("apot3", ["format=verify", "output=nowhere.onnx"], ["nowhere.onnx"]),
        ("apot3", ["format=onnx", "output=."], ["output=.", "exists"]),
        ("apot3", ["format=onnx", "model=resnet10"], ["carries its own configuration"]),
        ("apot3", ["format=onnx", "outpt=x"], ["outpt", "did you mean output?"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_mistakes_are_one_line(export, name, arguments, parts):
    export(name, *arguments, code=2).assert_refused(parts)


def test_a_damaged_file_is_one_line(export, tmp_path, checkpoints):
    (tmp_path / "net.onnx").write_bytes(b"not a model")
    export("apot3", "format=verify", f"output={tmp_path}/net.onnx", code=2).assert_refused(["net.onnx", "damaged"])
    damaged = checkpoints / "damaged.ckpt"
    damaged.write_bytes((checkpoints / "apot3.ckpt").read_bytes()[:1000])
    export("damaged", "format=onnx", code=2).assert_refused(["damaged.ckpt", "damaged"])
    assert torch.load(checkpoints / "apot3.ckpt", weights_only=True)
