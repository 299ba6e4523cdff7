"""The data module: splits, arguments, and what Lightning makes of it."""

import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from apot_lit.data.datamodule import ImageDataModule, build_datamodule
from apot_lit.data.embedded import load_idx_pair
from apot_lit.data.split import proportional_quotas, split_by_class
from apot_lit.errors import UserError

MNIST_DIR = Path(__file__).parents[2] / "data" / "mnist"


def make(**options: Any) -> ImageDataModule:
    return build_datamodule({"seed": options.pop("seed", 0), "data": {"data_dir": str(MNIST_DIR), **options}})


def indices(module: ImageDataModule, split: str) -> list[int]:
    return module.eval_loader(split).indices.tolist()


def test_splits_are_disjoint_and_complete() -> None:
    module = make()
    train, val = indices(module, "train"), indices(module, "val")
    assert module.split_sizes == {"train": 55_000, "val": 5_000, "test": 10_000}
    assert (len(train), len(val)) == (55_000, 5_000)
    assert sorted(train + val) == list(range(60_000))
    assert indices(module, "test") == list(range(10_000))


@pytest.mark.parametrize("val_split", [1, 1234, 5000, 59_000])
def test_validation_is_stratified(val_split: int) -> None:
    _, labels = load_idx_pair(MNIST_DIR, "train")
    module = make(val_split=val_split)
    counts = labels[indices(module, "val")].bincount(minlength=10)
    assert counts.sum() == val_split
    assert ((counts - labels.bincount() * val_split / 60_000).abs() < 1).all()


def test_validation_depends_on_split_seed_alone() -> None:
    reference = indices(make(), "val")
    torch.manual_seed(12)
    np.random.seed(12)  # noqa: NPY002
    assert indices(make(seed=5, train_images=100, batch_size=7, flip=True), "val") == reference
    other = indices(make(split_seed=1), "val")
    assert len(set(other) & set(reference)) < 1000


def test_validation_never_changes_between_versions() -> None:
    assert indices(make(), "val")[:8] == [2, 3, 11, 13, 20, 48, 53, 59]


def test_train_images_limits_training_alone() -> None:
    module = make(train_images=1000)
    train = indices(module, "train")
    assert module.split_sizes["train"] == len(set(train)) == 1000
    assert set(train) <= set(indices(make(), "train"))
    _, labels = load_idx_pair(MNIST_DIR, "train")
    assert ((labels[train].bincount() - labels.bincount() / 60).abs() < 2).all()
    visited = torch.cat([labels for _, labels in module.train_dataloader()])
    assert torch.equal(visited.bincount(), labels[train].bincount())
    assert make(train_images=55_000).split_sizes == make().split_sizes


def test_no_validation() -> None:
    module = make(val_split=0)
    assert module.split_sizes["val"] == 0
    assert module.val_dataloader() == []
    assert len(indices(module, "train")) == 60_000
    with pytest.raises(UserError, match=re.escape("data.val_split=0")):
        module.eval_loader("val")


def test_unknown_split() -> None:
    with pytest.raises(UserError, match=r"^split=dev: must be one of train, val, test$"):
        make().eval_loader("dev")


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("val_split", 70_000, "an integer from 0 to 59998, as there are 60000 images to train on"),
        ("val_split", 59_999, "an integer from 0 to 59998, as there are 60000 images to train on"),
        ("val_split", -1, "an integer of at least 0"),
        ("val_split", 0.1, "an integer of at least 0"),
        ("val_split", "many", "an integer of at least 0"),
        ("batch_size", 1, "an integer of at least 2"),
        ("batch_size", 60_001, "an integer from 2 to 60000, as there are 60000 images to train on"),
        ("eval_batch_size", 0, "an integer of at least 1"),
        ("train_images", 55_001, "null or an integer from 2 to 55000 with data.val_split=5000"),
        ("train_images", 1, "null or an integer of at least 2"),
        ("split_seed", -1, "an integer from 0 to 4294967295"),
        ("rotate", float("nan"), "a number from 0 to 180"),
        ("zoom", 1, "a number from 0 to 0.9"),
        ("flip", "maybe", "true or false"),
    ],
)
def test_arguments_out_of_range(option: str, value: Any, allowed: str) -> None:
    with pytest.raises(UserError) as caught:
        make(**{option: value})
    assert str(caught.value) == f"data.{option}={value}: must be {allowed}"


@pytest.mark.parametrize("seed", [2**32, -1, 0.5])
def test_seed_out_of_range(seed: Any) -> None:
    with pytest.raises(UserError) as caught:
        make(seed=seed)
    assert str(caught.value) == f"seed={seed}: must be an integer from 0 to 4294967295"


def test_batches_are_the_pixels_themselves() -> None:
    images, _ = next(iter(make().eval_loader("test")))
    raw, _ = load_idx_pair(MNIST_DIR, "test")
    assert images.dtype == torch.uint8
    assert torch.equal(images, raw[:1000])


def test_training_batches_follow_the_seed() -> None:
    def first(**options: Any) -> Tensor:
        return next(iter(make(**options).train_dataloader()))[0]

    assert torch.equal(first(), first())
    assert not torch.equal(first(), first(seed=1))
    assert first(batch_size=16).shape == (16, 1, 28, 28)


def test_evaluating_the_training_split_ignores_augmentation() -> None:
    raw, labels = load_idx_pair(MNIST_DIR, "train")
    module = make(flip=True, train_images=3000, eval_batch_size=700)
    chosen = indices(module, "train")
    loader = module.eval_loader("train")
    assert [len(batch) for _, batch in loader] == [700, 700, 700, 700, 200]
    assert torch.equal(torch.cat([batch for _, batch in loader]), labels[chosen])
    assert torch.equal(torch.cat([images for images, _ in loader]), raw[chosen])


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.data())
def test_quotas_are_proportional(sizes: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, sum(sizes)))
    quotas = proportional_quotas(np.array(sizes), count)
    assert quotas.sum() == count
    assert (quotas <= sizes).all()
    assert (np.abs(quotas - np.array(sizes) * count / sum(sizes)) < 1).all()


@given(st.lists(st.integers(0, 3), min_size=2, max_size=40), st.integers(0, 2**32 - 1), st.data())
def test_split_by_class_is_disjoint(labels: list[int], seed: int, data: st.DataObject) -> None:
    val_count = data.draw(st.integers(0, len(labels) - 1))
    train_count = data.draw(st.integers(0, len(labels) - val_count))
    train, val = split_by_class(np.array(labels), val_count, train_count, seed)
    assert (len(train), len(val)) == (train_count, val_count)
    assert len(set(train) | set(val)) == train_count + val_count


class Recorder(pl.LightningModule):
    """A classifier that notes the epoch, place in the epoch and first labels of its training batches."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(784, 10)
        self.seen: list[tuple[int, int, float, list[int]]] = []
        self.evaluated = 0

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        self.seen.append((self.current_epoch, batch_idx, images.sum().item(), labels.tolist()))
        return torch.nn.functional.cross_entropy(self.linear(images.flatten(1).float()), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.evaluated += len(batch[1])

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def trainer(epochs: int, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


@pytest.mark.parametrize(
    "checkpoint",
    [
        {"save_on_train_epoch_end": True, "every_n_epochs": 1},
        {"save_on_train_epoch_end": False, "every_n_epochs": 1},
        {"every_n_train_steps": 3},
        {"every_n_train_steps": 4},
        {"every_n_train_steps": 6},
    ],
)
@pytest.mark.parametrize("val_split", [0, 500])
def test_a_resumed_run_sees_the_batches_of_an_uninterrupted_one(
    tmp_path: Path, checkpoint: dict[str, Any], val_split: int
) -> None:
    if val_split == 0 and checkpoint.get("save_on_train_epoch_end") is False:
        pytest.skip("this checkpoint is written at the end of validation")
    options = {"train_images": 64, "batch_size": 16, "val_split": val_split, "flip": True}  # 4 batches per epoch
    callback = ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1, **checkpoint)
    uninterrupted = Recorder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer(3, callbacks=[callback]).fit(uninterrupted, datamodule=make(**options))
    assert [entry[:2] for entry in uninterrupted.seen] == [(epoch, batch) for epoch in range(3) for batch in range(4)]
    assert len({entry[2] for entry in uninterrupted.seen}) == 12
    paths = list(tmp_path.glob("*.ckpt"))
    assert paths
    for path in paths:
        step = int(path.stem.removeprefix("step="))
        resumed = Recorder()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer(3, enable_checkpointing=False).fit(
                resumed, datamodule=make(**options), ckpt_path=path, weights_only=True
            )
        assert resumed.seen == uninterrupted.seen[step:]


def test_processes_share_a_split_or_have_all_of_it() -> None:
    module = make(val_split=501)
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    module.trainer = SimpleNamespace(strategy=strategy, global_rank=1, world_size=2, current_epoch=0)
    everything = make(val_split=501).eval_loader("val")
    whole = torch.cat([images for images, _ in everything])
    assert torch.equal(torch.cat([images for images, _ in module.eval_loader("val")]), whole[1::2])
    assert torch.equal(torch.cat([images for images, _ in module.eval_loader("val", shared=False)]), whole)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lightning_evaluates_every_image() -> None:
    module, recorder = make(val_split=2345), Recorder()
    runner = trainer(1, enable_checkpointing=False)
    runner.validate(recorder, datamodule=module, verbose=False)
    assert recorder.evaluated == 2345
    runner.test(recorder, datamodule=module, verbose=False)
    assert recorder.evaluated == 2345 + 10_000
