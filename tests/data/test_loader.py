"""Batches of a small made-up data set, whose pixels tell which image they are."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from apot_lit.data.augment import Augmentation
from apot_lit.data.loader import BatchLoader


def make_loader(count: int = 50, batch_size: int = 8, **options: Any) -> BatchLoader:
    """Image i has the label i and, left to right, the pixels i and i + 100."""
    labels = torch.arange(count)
    images = torch.stack([labels, labels + 100], -1).to(torch.uint8).reshape(count, 1, 1, 2)
    return BatchLoader(images, labels, labels, batch_size, **options)


def visited(loader: BatchLoader) -> list[int]:
    return torch.cat([labels for _, labels in loader]).tolist()


def same(left: list[tuple[Tensor, Tensor]], right: list[tuple[Tensor, Tensor]]) -> bool:
    return len(left) == len(right) and all(
        torch.equal(a, b) for x, y in zip(left, right, strict=True) for a, b in zip(x, y, strict=True)
    )


def test_evaluation_is_in_order_and_complete() -> None:
    loader = make_loader(50, 8)
    assert visited(loader) == list(range(50))
    assert len(loader) == len(list(loader)) == 7
    images, labels = next(iter(loader))
    assert torch.equal(images[:, 0, 0], torch.stack([labels, labels + 100], 1).to(torch.uint8))


def test_an_epoch_of_training_is_a_permutation_and_epochs_differ() -> None:
    epoch = 0
    loader = make_loader(train=True, epoch=lambda: epoch)
    orders = set()
    for epoch in range(5):  # noqa: B007
        order = visited(loader)
        assert sorted(order) == list(range(50))
        orders.add(tuple(order))
    assert len(orders) == 5


def test_only_the_chosen_indices_are_visited() -> None:
    loader = make_loader()
    loader.indices = torch.tensor([30, 3, 7])
    assert visited(loader) == [30, 3, 7]
    loader.train = True
    assert sorted(visited(loader)) == [3, 7, 30]


@pytest.mark.parametrize("flip", [False, True])
def test_batches_are_a_function_of_seed_and_epoch(flip: bool) -> None:
    def batches(seed: int, epoch: int) -> list[tuple[Tensor, Tensor]]:
        return list(make_loader(train=True, augmentation=Augmentation(flip=flip), seed=seed, epoch=lambda: epoch))

    assert same(batches(1, 2), batches(1, 2))
    assert not same(batches(1, 2), batches(1, 3))
    assert not same(batches(1, 2), batches(2, 2))
    assert not same(batches(1, 2), batches(2, 1))


def test_flips_only_in_training_and_only_if_asked_for() -> None:
    def flipped(flip: bool, train: bool) -> int:
        loader = make_loader(train=train, augmentation=Augmentation(flip=flip))
        return sum(int((images[:, 0, 0, 0] > images[:, 0, 0, 1]).sum()) for images, _ in loader)

    assert flipped(True, train=False) == 0
    assert flipped(False, train=True) == 0
    assert 10 < flipped(True, train=True) < 40


def test_global_generators_are_neither_read_nor_advanced() -> None:
    def batches(global_seed: int) -> list[tuple[Tensor, Tensor]]:
        torch.manual_seed(global_seed)
        np.random.seed(global_seed)  # noqa: NPY002
        random.seed(global_seed)
        before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
        result = list(make_loader(train=True, augmentation=Augmentation(flip=True)))
        after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
        assert torch.equal(before[0], after[0])
        assert before[1:] == after[1:]
        return result

    assert same(batches(1), batches(2))


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [(16, 8, [8, 8]), (17, 8, [8, 8]), (18, 8, [8, 8, 2]), (1, 8, [1]), (3, 1, [1, 1, 1]), (9, 3, [3, 3, 3])],
)
def test_a_last_training_batch_of_one_image_is_dropped(count: int, batch_size: int, sizes: list[int]) -> None:
    loader = make_loader(count, batch_size, train=True)
    assert [len(labels) for _, labels in loader] == sizes
    assert len(loader) == len(sizes)
    assert len(visited(make_loader(count, batch_size))) == count


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_training_shards_are_disjoint_and_equally_long(world_size: int) -> None:
    count = 51
    loaders = [make_loader(count, 4, train=True, rank=rank, world_size=world_size) for rank in range(world_size)]
    shards = [visited(loader) for loader in loaders]
    assert len({len(loader) for loader in loaders}) == 1
    assert len({len(shard) for shard in shards}) == 1
    together = [image for shard in shards for image in shard]
    assert len(set(together)) == len(together)
    # Of the images left over, and of last batches of one image, only as many as must be are dropped.
    assert len(together) > count - 2 * world_size
    whole = visited(make_loader(count, count, train=True))
    assert shards[1][:5] == whole[1::world_size][:5]


@pytest.mark.parametrize("world_size", [2, 3, 60])
def test_evaluation_shards_cover_every_image_once(world_size: int) -> None:
    loaders = [make_loader(50, 4, rank=rank, world_size=world_size) for rank in range(world_size)]
    labels = [label for loader in loaders for _, batch in loader for label in batch.tolist()]
    assert sorted(labels) == list(range(50))
    assert [len(loader) for loader in loaders] == [len(list(loader)) for loader in loaders]


def test_ranks_flip_independently() -> None:
    def flips(rank: int) -> list[bool]:
        loader = make_loader(100, 100, train=True, augmentation=Augmentation(flip=True), rank=rank, world_size=2)
        return [bool(image[0, 0, 0] > image[0, 0, 1]) for images, _ in loader for image in images]

    assert flips(0) != flips(1)


def test_resuming_within_an_epoch() -> None:
    epoch = 3
    options: dict[str, Any] = {"train": True, "augmentation": Augmentation(flip=True), "epoch": lambda: epoch}
    whole = list(make_loader(**options))
    interrupted = make_loader(**options)
    iterator = iter(interrupted)
    first = [next(iterator), next(iterator)]
    resumed = make_loader(**options)
    resumed.load_state_dict(interrupted.state_dict())
    assert same(first + list(resumed), whole)
    assert same(list(resumed), whole), "the next iteration is whole again"

    resumed.load_state_dict({"epoch": epoch - 1, "batch": 2})
    assert same(list(resumed), whole), "a state of another epoch is ignored"
    resumed.load_state_dict({"epoch": epoch, "batch": len(resumed)})
    assert same(list(resumed), whole), "so is the state of a finished epoch"
