"""Fashion-MNIST: its files as Debian has them, damage, its place, and results that are kept apart from MNIST's."""

import gzip
import hashlib
import shutil
import struct
from copy import deepcopy
from pathlib import Path

import pytest
import torch
import yaml

from apot_lit.data.embedded import load_idx_pair
from apot_lit.data.known import KNOWN, usual_directory
from apot_lit.errors import UserError
from apot_lit.models import PixelInput
from apot_lit.runs.protocol import protocol
from tests.configs.test_configs import composed
from tests.conftest import ROOT

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
LABELS = "t10k-labels-idx1-ubyte.gz"

needs_files = pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")


@needs_files
@pytest.mark.parametrize(("split", "count"), [("train", 6000), ("test", 1000)])
def test_shapes_and_classes(split, count):
    images, labels = load_idx_pair(DEBIAN, split, source="fashion_mnist")
    assert images.shape == (10 * count, 1, 28, 28)
    assert images.dtype == torch.uint8
    assert labels.bincount().tolist() == [count] * 10


@needs_files
def test_one_image_decoded_by_hand():
    contents = gzip.decompress((DEBIAN / "t10k-images-idx3-ubyte.gz").read_bytes())
    assert struct.unpack_from(">4I", contents) == (0x803, 10_000, 28, 28)
    images, labels = load_idx_pair(DEBIAN, "test", source="fashion_mnist")
    assert images[1234].flatten().tolist() == list(contents[16 + 1234 * 784 :][:784])
    assert labels[1234] == gzip.decompress((DEBIAN / LABELS).read_bytes())[8 + 1234]


@needs_files
def test_mean_and_deviation_are_those_of_the_training_pixels():
    shown = yaml.safe_load((ROOT / "conf/data/fashion_mnist.yaml").read_text())
    images, _ = load_idx_pair(DEBIAN, "train", source="fashion_mnist")
    assert shown["std"] == pytest.approx((images.double() / 255).std().item(), abs=5e-5)
    pixels = PixelInput(shown["mean"], shown["std"])
    assert (pixels.multiplier, pixels.offset) == (1, round(images.double().mean().item()))


@needs_files
@pytest.mark.parametrize("damage", ["flip", "cut", "other"])
def test_damage_is_found(tmp_path, damage):
    for path in DEBIAN.iterdir():
        shutil.copy(path, tmp_path)
    path = tmp_path / LABELS
    contents = bytearray(path.read_bytes())
    if damage == "flip":
        contents[len(contents) // 2] ^= 4
    path.write_bytes({"flip": contents, "cut": contents[:1000], "other": gzip.compress(bytes(10_008))}[damage])
    with pytest.raises(UserError) as caught:
        load_idx_pair(tmp_path, "test", source="fashion_mnist")
    expected = hashlib.md5(gzip.decompress((DEBIAN / LABELS).read_bytes())).hexdigest()
    assert str(caught.value).startswith(f"{path}: damaged file: expected MD5 {expected}, found ")
    assert "\n" not in str(caught.value)


@needs_files
def test_no_more_is_unpacked_than_the_set_has(tmp_path):
    for path in DEBIAN.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / LABELS).write_bytes(gzip.compress(bytes(1 << 26)))
    with pytest.raises(UserError, match="expected 10008 bytes, found more"):
        load_idx_pair(tmp_path, "test", source="fashion_mnist")


def test_nothing_is_downloaded_unasked(tmp_path):
    with pytest.raises(UserError, match=r"holds no Fashion-MNIST files .*data\.download=true"):
        load_idx_pair(tmp_path, "test", source="fashion_mnist")
    assert list(tmp_path.iterdir()) == []


def test_the_usual_directory(tmp_path, monkeypatch):
    own, system = tmp_path / "data/fashion_mnist", tmp_path / "system"
    monkeypatch.setitem(KNOWN["fashion_mnist"].__dict__, "system", str(system))
    assert usual_directory("fashion_mnist", tmp_path) == str(own)
    system.mkdir()
    assert usual_directory("fashion_mnist", tmp_path) == str(system)
    own.mkdir(parents=True)
    assert usual_directory("fashion_mnist", tmp_path) == str(own)
    assert usual_directory("mnist", tmp_path) == str(ROOT / "data/mnist")


def test_results_of_two_data_sets_are_never_of_one_row(tmp_path):
    config = composed("train", tmp_path, "experiment=best")
    fashion = composed("train", tmp_path, "experiment=best", "data=fashion_mnist")
    assert fashion["data"]["rotate"] == config["data"]["rotate"] == 10
    differences = dict(set(protocol(fashion)) - set(protocol(config)))
    assert differences["data.name"] == "fashion_mnist"
    named, old = deepcopy(config), deepcopy(config)
    named["data"]["name"] = "other"
    del old["data"]["name"], old["data"]["source"]
    assert protocol(old) == protocol(config) != protocol(named)


def test_sweeps_of_two_data_sets_have_two_directories(tmp_path):
    from hydra import compose, initialize_config_dir

    from apot_lit.config.registration import register

    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        directories = [
            compose("train", ["experiment=best", "sweep=tables", *more], return_hydra_config=True).hydra.sweep.dir
            for more in ([], ["data=fashion_mnist"])
        ]
    assert [Path(directory).name for directory in directories] == ["best", "best_fashion_mnist"]
