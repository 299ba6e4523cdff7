"""predict.py for networks of other data than digits: their shape, colours and class names; what can't be done."""

import csv

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from apot_lit.config.sections import CosineConfig, SGDConfig
from apot_lit.export.onnx_model import build_onnx
from apot_lit.export.write import write_format
from apot_lit.integer import Executor, to_integers
from apot_lit.predict.expected import expected_by_shape
from apot_lit.predict.pictures import read_pictures
from apot_lit.stored.packed import save_packed
from apot_lit.stored.trained import read_any_trained
from apot_lit.training.classifier import QuantClassifier
from tests.conftest import ROOT
from tests.export.networks import noise

KINDS = ["cow", "dog", "$owl$"]
SIZE = 16


def save_checkpoint(path, source, directory, channels=3):
    """A network whose batch norms have seen images, as train.py would write it."""
    from pytorch_lightning import Trainer

    data = yaml.safe_load((ROOT / f"conf/data/{source}.yaml").read_text())
    mnist = yaml.safe_load((ROOT / "conf/data/mnist.yaml").read_text())
    own = {"data_dir": str(directory), "classes": len(KINDS), "channels": channels, "size": SIZE}
    data = {key: value for key, value in (mnist | data | own).items() if key != "defaults"}
    config = {
        "seed": 0,
        "model": {"name": "resnet10", "stem": "small", "width": 4},
        "quant": {"bit": 4, "power": 1, "additive": True},
        "data": data,
        "optimizer": dict(vars(SGDConfig())),
        "scheduler": dict(vars(CosineConfig())),
    }
    torch.manual_seed(0)
    classifier = QuantClassifier(config)
    with torch.no_grad():
        for _ in range(20):
            classifier.network.train()(noise(32, SIZE, channels))
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    trainer.strategy.connect(classifier)
    trainer.save_checkpoint(path, weights_only=True)
    return classifier.network.eval()


@pytest.fixture
def predict(run_script, tmp_path):
    def run(*arguments):
        outcome = run_script("predict.py", f"hydra.run.dir={tmp_path}/run", *arguments)
        if outcome.code:
            return outcome, []
        with (tmp_path / "run/predictions.csv").open() as file:
            return outcome, list(csv.DictReader(file))

    return run


@pytest.fixture
def folder(tmp_path):
    for kind in KINDS:
        (tmp_path / "animals/train" / kind).mkdir(parents=True)
    return tmp_path / "animals"


def hold(rows, network, images, names):
    """The table says what the network says of these pixels."""
    with torch.no_grad():
        expected = network(torch.from_numpy(np.stack(images))).softmax(1).numpy()
    found = np.array([[float(row[f"probability_{name}"]) for name in names] for row in rows])
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert [row["class"] for row in rows] == [names[label] for label in expected.argmax(1)]


def test_pictures_in_colour_are_prepared_as_folders_are(predict, tmp_path, folder):
    network = save_checkpoint(tmp_path / "a.ckpt", "image_folder", folder)
    shown = tmp_path / "shown"
    shown.mkdir()
    pixels = noise(3, 40, seed=3).numpy().transpose(0, 2, 3, 1)
    Image.fromarray(pixels[0]).save(shown / "a.png")
    Image.fromarray(pixels[1][:20]).save(shown / "b.png")  # 40 wide, 20 high: cropped to the middle
    Image.fromarray(pixels[2][..., 0]).save(shown / "c.png")  # grey
    outcome, rows = predict(f"ckpt_path={tmp_path}/a.ckpt", f"images={shown}", "sheets=2")
    assert outcome.code == 0, outcome.err
    grey = Image.fromarray(pixels[2][..., 0]).convert("RGB")
    pictures = [Image.fromarray(pixels[0]), Image.fromarray(pixels[1][:20]), grey]
    boxes = [(0, 0, 40, 40), (10, 0, 30, 20), (0, 0, 40, 40)]
    bilinear = Image.Resampling.BILINEAR
    scaled = [one.resize((SIZE, SIZE), bilinear, box) for one, box in zip(pictures, boxes, strict=True)]
    hold(rows, network, [np.asarray(one).transpose(2, 0, 1) for one in scaled], sorted(KINDS))
    assert any(kind in outcome.out for kind in KINDS)
    assert (tmp_path / "run/codes_1.png").exists()

    # Where the folder is gone, classes have numbers; elsewhere it is found by data_dir.
    folder.rename(tmp_path / "moved")
    _, rows = predict(f"ckpt_path={tmp_path}/a.ckpt", f"images={shown}")
    assert {row["class"] for row in rows} <= set("012")
    _, rows = predict(f"ckpt_path={tmp_path}/a.ckpt", f"images={shown}", f"data_dir={tmp_path}/moved")
    assert {row["class"] for row in rows} <= set(KINDS)


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_of_the_networks_own_size_stay_as_they_are(predict, tmp_path, channels):
    network = save_checkpoint(tmp_path / "a.ckpt", "tensors", tmp_path, channels)
    images = noise(5, SIZE, channels, seed=4).numpy()
    names = ["0", "1", "2"]
    forms = [images, images.transpose(0, 2, 3, 1)] if channels == 3 else [images, images[:, 0]]
    for form in forms:
        np.save(tmp_path / "a.npy", form)
        outcome, rows = predict(f"ckpt_path={tmp_path}/a.ckpt", f"images={tmp_path}/a.npy", "sheets=0")
        assert outcome.code == 0, outcome.err
        hold(rows, network, images, names)
    _, rows = predict(f"ckpt_path={tmp_path}/a.ckpt", f"images={tmp_path}/a.npy", "sheets=0", "invert=true")
    hold(rows, network, 255 - images, names)
    assert "without any ink" not in outcome.out


def test_packed_files_and_onnx_models_know_their_images(predict, tmp_path, folder):
    save_checkpoint(tmp_path / "a.ckpt", "image_folder", folder)
    config, network, _ = read_any_trained(tmp_path / "a.ckpt")
    integers = to_integers(network.eval(), noise(50, SIZE))
    save_packed(network, integers, config, tmp_path / "a.safetensors")
    write_format("onnx", tmp_path / "a.onnx", network, integers, {}, config, (noise(1, SIZE), torch.zeros(1)))
    images = noise(4, SIZE, seed=5)
    np.save(tmp_path / "a.npy", images.numpy())
    expected = (Executor(integers)(images).double() * integers.logit_scale).softmax(1).numpy()
    for name, given in (("a.safetensors", [f"data_dir={folder}"]), ("a.onnx", [])):
        outcome, rows = predict(f"ckpt_path={tmp_path / name}", f"images={tmp_path}/a.npy", "sheets=0", *given)
        assert outcome.code == 0, outcome.err
        found = np.array([[float(row[f"probability_{kind}"]) for kind in sorted(KINDS)] for row in rows])
        np.testing.assert_allclose(found, expected, atol=2e-6)
    # Of a network that was exported from Python only the shape is known.
    save_packed(network, integers, {}, tmp_path / "b.safetensors")
    (tmp_path / "b.onnx").write_bytes(build_onnx(integers, {}).SerializeToString())
    for name in ("b.safetensors", "b.onnx"):
        _, rows = predict(f"ckpt_path={tmp_path / name}", f"images={tmp_path}/a.npy", "sheets=0")
        assert [row["class"] for row in rows] == [str(label) for label in expected.argmax(1)]


def test_what_can_not_be_done_is_said_in_one_line(predict, tmp_path):
    save_checkpoint(tmp_path / "a.ckpt", "tensors", tmp_path)
    np.save(tmp_path / "a.npy", noise(2, SIZE).numpy())
    np.save(tmp_path / "b.npy", np.zeros((2, 5, SIZE, SIZE), np.uint8))
    for arguments, parts in (
        (["images=a.npy", "center=true"], ["center=true", "1x28x28", "the network reads 3x16x16"]),
        (["images=b.npy"], ["b.npy", "has the shape [2, 5, 16, 16]", "in colour", "[N, 3, H, W]"]),
    ):
        outcome, _ = predict(f"ckpt_path={tmp_path}/a.ckpt", *arguments)
        outcome.assert_refused(parts)


def test_a_network_of_other_channels_takes_no_pictures():
    with pytest.raises(Exception, match=r"^x: reads images of 2 channels; pictures have 1 or 3$"):
        expected_by_shape((2, 8, 8), {}, "x")


def test_one_picture_in_colour_needs_no_number(tmp_path):
    pixels = noise(1, 9).numpy()[0]
    for form in (pixels, pixels.transpose(1, 2, 0)):
        np.save(tmp_path / "a.npy", form)
        (picture,) = read_pictures(tmp_path / "a.npy", colour=True)
        np.testing.assert_array_equal(picture.pixels, pixels.transpose(1, 2, 0))
