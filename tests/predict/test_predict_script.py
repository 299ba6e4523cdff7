"""predict.py from end to end: the same words from every kind of file, and its refusals."""

import csv
import re

import numpy as np
import pytest
import torch
from PIL import Image

from apot_lit.integer import Executor, to_integers
from tests.export.conftest import digits, save_checkpoint, trained

IMAGES = digits()[0]
INTEGERS = to_integers(trained(3, 1, width=4), digits("train")[0][:200])
COUNT = 30
WRITTEN = ["predictions.csv", "predictions.png", "codes_0.png", "codes_1.png"]
FILES = {"checkpoint": "a.ckpt", "onnx": "a.onnx", "packed": "a.safetensors"}


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """One network as checkpoint, ONNX file and packed file."""
    from apot_lit.export.onnx_model import build_onnx
    from apot_lit.stored.packed import save_packed
    from apot_lit.stored.trained import read_any_trained

    directory = tmp_path_factory.mktemp("networks")
    save_checkpoint(directory / "a.ckpt", 3, 1)
    save_checkpoint(directory / "float.ckpt", 32, 1)
    config, network, _ = read_any_trained(str(directory / "a.ckpt"), None, {"bit": None, "power": 1}, "")
    (directory / "a.onnx").write_bytes(build_onnx(INTEGERS, {}).SerializeToString())
    save_packed(network, INTEGERS, config, directory / "a.safetensors")
    return directory


@pytest.fixture
def predict(run_script, tmp_path, networks):
    np.save(tmp_path / "digits.npy", IMAGES[:COUNT].numpy())

    def run(name, *arguments):
        overrides = [f"ckpt_path={networks / name}", f"hydra.run.dir={tmp_path}/run", *arguments]
        return run_script("predict.py", *overrides)

    return run


@pytest.mark.parametrize("kind", FILES)
def test_each_kind_of_file_says_what_the_network_says(predict, tmp_path, kind):
    outcome = predict(FILES[kind], "images=digits.npy", "show=3", "sheets=2")
    assert outcome.code == 0, outcome.err
    with torch.no_grad():
        floats = trained(3, 1, width=4)(IMAGES[:COUNT])
        integers = Executor(INTEGERS)(IMAGES[:COUNT]).double() * INTEGERS.logit_scale
    expected = (floats if kind == "checkpoint" else integers).softmax(1).numpy()
    with (tmp_path / "run/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["picture"] for row in rows] == [f"digits.npy[{index}]" for index in range(COUNT)]
    found = np.array([[float(row[f"probability_{label}"]) for label in range(10)] for row in rows])
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert [int(row["class"]) for row in rows] == expected.argmax(1).tolist()
    assert re.search(rf"^digits.npy\[0\] +{expected[0].argmax()} ", outcome.out, re.MULTILINE)
    assert "... and 27 more, in predictions.csv" in outcome.out
    assert {path.name for path in (tmp_path / "run").iterdir()} - {"predict.log", ".hydra"} == set(WRITTEN)
    assert outcome.out.endswith("\n  ".join(["written:", *(f"{tmp_path}/run/{name}" for name in WRITTEN)]) + "\n")
    assert "digits.npy[2]" in (tmp_path / "run/predict.log").read_text()


def test_the_sheet_shows_each_picture_as_the_network_reads_it(predict, tmp_path):
    predict("a.ckpt", "images=digits.npy", "sheets=0")
    width, height = Image.open(tmp_path / "run/predictions.png").size
    assert (round(width / height, 1), list((tmp_path / "run").glob("codes*"))) == (round(11 / 4.2, 1), [])


def test_a_network_without_codes_has_no_sheet_of_codes(predict, tmp_path):
    assert predict("float.ckpt", "images=digits.npy").code == 0
    assert [path.name for path in (tmp_path / "run").glob("*.png")] == ["predictions.png"]


def test_a_blank_sheet_is_named(predict, tmp_path):
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    assert "1 picture without any ink: blank.png" in predict("a.ckpt", "images=blank.png").out


@pytest.mark.parametrize(
    ("name", "arguments", "parts"),
    [
        ("a.ckpt", ["images=none.png"], ["images=none.png", "there is no such file or folder"]),
        ("a.ckpt", [], ["images", "a value is needed"]),
        ("none.ckpt", ["images=digits.npy"], ["none.ckpt"]),
        ("none.onnx", ["images=digits.npy"], ["none.onnx", "there is no such file"]),
        ("none.safetensors", ["images=digits.npy"], ["none.safetensors", "there is no such file"]),
        ("a.onnx", ["images=digits.npy", "model=resnet10"], ["carries its own configuration"]),
        ("a.ckpt", ["images=digits.npy", "invert=maybe"], ["invert"]),
        ("a.ckpt", ["images=digits.npy", "sheets=-1"], ["sheets=-1", "0 to 100"]),
    ],
)
def test_refusals(predict, name, arguments, parts):
    predict(name, *arguments).assert_refused(parts)


@pytest.mark.parametrize("name", ["text.onnx", "text.safetensors", "text.ckpt"])
def test_a_damaged_file(predict, networks, name):
    (networks / name).write_text("hello")
    predict(name, "images=digits.npy").assert_refused([name])
