"""A user's own arrays and pictures: what is read, divided, and refused in one line."""

import numpy as np
import pytest
import torch
from PIL import Image

from apot_lit.data.datamodule import build_datamodule
from apot_lit.data.options import DataOptions
from apot_lit.data.sources import class_names, load_set, placed
from apot_lit.errors import UserError
from tests.conftest import ROOT

CLASSES, COUNT = 5, 40


def arrays(count=COUNT, channels=3, size=16, classes=CLASSES):
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator)
    return {"images": images, "labels": torch.arange(count) % classes}


def options(place, **more):
    given = {"source": "tensors", "channels": 3, "size": 16, "classes": CLASSES, "val_split": 5, "batch_size": 8}
    return DataOptions(data_dir=str(place), **{**given, **more})


def save(path, content):
    if path.suffix == ".pt":
        torch.save(content, path)
    else:
        np.savez(path, **{name: value.numpy() for name, value in content.items()})


@pytest.mark.parametrize("suffix", [".pt", ".npz"])
def test_two_files(tmp_path, suffix):
    train, test = arrays(), arrays(10)
    save(tmp_path / f"train{suffix}", train)
    save(tmp_path / f"test{suffix}", test)
    for split, content in (("train", train), ("test", test)):
        images, labels = load_set(options(tmp_path), split)
        assert torch.equal(images, content["images"])
        assert labels.tolist() == content["labels"].tolist()


def test_one_file_is_divided_by_class_and_seed(tmp_path):
    content = arrays()
    save(tmp_path / "all.pt", content)
    parts = [load_set(options(tmp_path / "all.pt", test_split=10), split) for split in ("train", "test")]
    assert [labels.bincount().tolist() for _, labels in parts] == [[6] * CLASSES, [2] * CLASSES]
    whole = sorted(image.flatten().tolist() for images, _ in parts for image in images)
    assert whole == sorted(image.flatten().tolist() for image in content["images"])
    again = load_set(options(tmp_path / "all.pt", test_split=10, split_seed=1), "test")[0]
    assert not torch.equal(again, parts[1][0])


def test_grey_images_need_no_channel(tmp_path):
    content = arrays(channels=1)
    save(tmp_path / "train.pt", content | {"images": content["images"][:, 0]})
    save(tmp_path / "test.pt", content)
    assert torch.equal(load_set(options(tmp_path, channels=1), "train")[0], content["images"])


def test_the_data_module_has_their_sizes(tmp_path):
    save(tmp_path / "all.pt", arrays())
    config = {"seed": 0, "data": vars(options(tmp_path / "all.pt", test_split=10))}
    module = build_datamodule(config)
    assert module.split_sizes == {"train": 25, "val": 5, "test": 10}
    images, labels = next(iter(module.predict_dataloader()))
    assert images.shape == (10, 3, 16, 16)
    assert len(labels) == 10


WRONG = [
    ({"images": arrays()["images"].float()}, {}, "images are float32, must be uint8"),
    ({"labels": torch.zeros(COUNT)}, {}, "labels are float32, must be integers"),
    ({"labels": torch.zeros(7, dtype=torch.int64)}, {}, "labels have the shape [7], must have [40] as the images"),
    ({}, {"classes": 4}, "labels are from 0 to 4, must be from 0 to 3 by data.classes"),
    ({"labels": torch.full((COUNT,), -1)}, {}, "labels are from -1 to -1, must be from 0 to 4 by data.classes"),
    (
        {},
        {"size": 28},
        "[40, 3, 16, 16], must have [N, 3, 28, 28], by data.channels=3 data.size=28",
    ),
    ({}, {"channels": 1}, "must have [N, 1, 16, 16]"),
]


@pytest.mark.parametrize("suffix", [".pt", ".npz"])
@pytest.mark.parametrize(("change", "more", "said"), WRONG)
def test_wrong_arrays_are_refused_in_one_line(tmp_path, suffix, change, more, said):
    path = tmp_path / f"train{suffix}"
    save(path, arrays() | change)
    save(tmp_path / f"test{suffix}", arrays())
    with pytest.raises(UserError) as caught:
        load_set(options(tmp_path, **more), "train")
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["train.pt", "train.npz"])
@pytest.mark.parametrize("kind", ["junk", "code", "other"])
def test_files_that_are_no_arrays(tmp_path, name, kind):
    path = tmp_path / name
    if kind == "junk":
        path.write_bytes(b"junk")
    elif name.endswith(".pt"):
        torch.save({"images": print, "labels": print} if kind == "code" else {"pixels": torch.zeros(2)}, path)
    elif kind == "code":
        np.savez(path, images=np.array([print], dtype=object), labels=np.zeros(1))
    else:
        np.savez(path, pixels=np.zeros(2))
    with pytest.raises(UserError) as caught:
        load_set(options(tmp_path, test_split=5), "train")
    assert str(caught.value).startswith(f"{path}: {'must hold images and labels' if kind == 'other' else 'can'}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "data.test_split=0: must be an integer from 1 to 37, as there is no test set of its own"),
        ({"test_split": 38}, "data.test_split=38: must be an integer from 1 to 37"),
        (
            {"test_split": 5, "val_split": 34},
            "data.val_split=34: must be an integer from 0 to 33, as there are 35",
        ),
        ({"test_split": 5, "batch_size": 36}, "data.batch_size=36: must be an integer from 2 to 35"),
        ({"test_split": 5, "train_images": 31}, "data.train_images=31: must be null or an integer from 2 to 30"),
        ({"download": True}, "data.download=true: must be false with data.source=tensors"),
        ({"source": "image_folder", "classes": 2}, "must hold a directory of pictures per class"),
    ],
)
def test_options_that_do_not_fit(tmp_path, more, said):
    save(tmp_path / "train.pt", arrays())
    with pytest.raises(UserError) as caught:
        _ = build_datamodule({"seed": 0, "data": vars(options(tmp_path, **more))}).split_sizes
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_place(tmp_path):
    with pytest.raises(UserError, match="there is no such file or directory"):
        load_set(options(tmp_path / "nowhere"), "train")
    with pytest.raises(UserError, match=r"must be a file, or hold train\.pt or train\.npz"):
        load_set(options(tmp_path), "train")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"source": "cifar10"}, "channels=1: must be 3 with data.source=cifar10"),
        ({"size": 32}, "size=32: must be 28 with data.source=mnist"),
        ({"classes": 9}, "classes=9: must be 10 with data.source=mnist"),
        ({"test_split": 1}, "test_split=1: must be 0 with data.source=mnist"),
        ({"name": "a/b"}, "name=a/b: must be a name of at most 60 letters"),
        (
            {"source": "other"},
            "source=other: must be one of mnist, fashion_mnist, kmnist, cifar10, image",
        ),
        ({"translate": 29}, "translate=29: must be a number from 0 to 28"),
    ],
)
def test_options_of_official_sets(more, said):
    with pytest.raises(ValueError, match="must be") as caught:
        DataOptions(data_dir="", **more)
    assert str(caught.value).startswith(said)


def pictures(directory, count=4):
    """Each class in a colour of its own: red and blue, wide and high."""
    for name, colour, size in (("blue", (0, 0, 200), (40, 20)), ("red", (200, 0, 0), (20, 60))):
        (directory / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", size, colour).save(directory / name / f"{number}.png")


def test_directories_of_pictures(tmp_path):
    pictures(tmp_path / "train")
    pictures(tmp_path / "test", 1)
    given = options(tmp_path, source="image_folder", classes=2)
    images, labels = load_set(given, "train")
    assert labels.tolist() == [0] * 4 + [1] * 4
    assert images.shape == (8, 3, 16, 16)
    assert images[0, :, 5, 5].tolist() == [0, 0, 200]
    assert images[7, :, 0, 15].tolist() == [200, 0, 0]
    assert load_set(given, "test")[1].tolist() == [0, 1]
    assert class_names(given) == ["blue", "red"]
    grey = load_set(options(tmp_path, source="image_folder", classes=2, channels=1), "train")[0]
    assert grey[7, 0, 3, 3] == round(0.299 * 200)


def test_one_directory_of_pictures_is_divided(tmp_path):
    pictures(tmp_path)
    given = options(tmp_path, source="image_folder", classes=2, test_split=2)
    assert [load_set(given, split)[1].tolist() for split in ("train", "test")] == [[0] * 3 + [1] * 3, [0, 1]]


def test_wrong_directories_of_pictures(tmp_path):
    pictures(tmp_path / "train")
    with pytest.raises(UserError, match=r"data\.classes=5: must be 2, the directories in "):
        load_set(options(tmp_path, source="image_folder", test_split=2), "train")
    (tmp_path / "train/red/4.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"4\.png: can't be read as a picture"):
        load_set(options(tmp_path, source="image_folder", classes=2, test_split=2), "train")
    (tmp_path / "test/green").mkdir(parents=True)
    with pytest.raises(UserError, match=r"must have the directories of .*: blue, red"):
        load_set(options(tmp_path, source="image_folder", classes=2), "test")


def test_official_names_of_classes():
    assert class_names(DataOptions(data_dir="", source="fashion_mnist"))[9] == "ankle boot"
    assert class_names(DataOptions(data_dir="", source="cifar10", channels=3, size=32))[0] == "airplane"
    assert class_names(options("/nowhere")) == ["0", "1", "2", "3", "4"]


def test_where_data_lies(tmp_path):
    config = {"data_dir": None, "download": False, "paths": {"root_dir": str(tmp_path)}}
    assert placed({}, config)["data_dir"] == str(ROOT / "data/mnist")
    assert placed({"source": "tensors", "data_dir": "mine"}, config)["data_dir"] == "mine"
    assert placed({"source": "tensors", "data_dir": "mine"}, {**config, "data_dir": "moved"})["data_dir"] == "moved"
    with pytest.raises(UserError, match="where the data set mine lies"):
        placed({"source": "tensors", "name": "mine"}, config)
