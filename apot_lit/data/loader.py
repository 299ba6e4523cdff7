"""Batches from a data set that lies whole on the training device."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from apot_lit.data.augment import Augmentation

_SHUFFLE_STREAM, _AUGMENT_STREAM = 0, 1


class BatchLoader:
    """Iterates over batches of a data set that lies on one device, without touching single images in Python.

    A training epoch visits the images in a random order, which is a function of `seed` and the epoch alone; its
    augmentation depends on the rank and the batch as well. Global random number generators are neither read nor
    advanced. A run that resumes therefore sees the batches of an uninterrupted one; `state_dict` lets Lightning
    resume within an epoch.

    Among the processes of distributed training the images are dealt out in turns. Training: every rank gets equally
    many, the few left over are dropped (others in each epoch), and so is a last batch of a single image, which batch
    normalisation cannot train on, unless it is the only one. Evaluation: every image goes to exactly one rank.

    Args:
        images: uint8 images `[N, C, H, W]`.
        labels: int64 labels `[N]` on the same device.
        indices: int64 positions `[M]` of the images to use, on the same device.
        batch_size: Images per batch on each rank, at least 1; the last batch may be smaller.
        train: Whether to shuffle; otherwise the images come in the order of `indices`.
        augmentation: Applied to every batch; only in training.
        seed: From 0 to 2**32 - 1.
        epoch: Called when the first batch of an epoch is taken, to learn the number of the epoch.
        rank: Of this process, from 0 to `world_size - 1`.
        world_size: Number of processes.

    Yields:
        Pairs of uint8 images `[B, C, H, W]` and int64 labels `[B]`.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        indices: Tensor,
        batch_size: int,
        *,
        train: bool = False,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - immutable
        seed: int = 0,
        epoch: Callable[[], int] = lambda: 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.images = images
        self.labels = labels
        self.indices = indices
        self.batch_size = batch_size
        self.train = train
        self.augmentation = augmentation
        self.seed = seed
        self.epoch = epoch
        self.rank = rank
        self.world_size = world_size
        self._position = {"epoch": 0, "batch": 0}
        self._resume: dict[str, int] | None = None

    @property
    def shard_size(self) -> int:
        """Number of images that this rank is dealt per epoch."""
        if self.train:
            return len(self.indices) // self.world_size
        return len(range(self.rank, len(self.indices), self.world_size))

    def __repr__(self) -> str:
        """Images, batches and device."""
        use = "train" if self.train else "in order"
        batches = f"{len(self)} batches of {self.batch_size}"
        return f"BatchLoader({self.shard_size} images, {use}, {batches}, {self.images.device})"

    def __len__(self) -> int:
        """Number of batches per epoch on this rank."""
        full, rest = divmod(self.shard_size, self.batch_size)
        drop_last = self.train and rest == 1 and full > 0
        return full + (rest > 0 and not drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterates over one epoch, from the batch that a loaded state points at."""
        # As a generator this asks for the epoch at the first batch, not at iter(): resuming, Lightning calls iter()
        # before it has counted the finished epoch.
        epoch = self.epoch()
        order = self._order(epoch)
        for batch in range(self._take_start(epoch), len(self)):
            picked = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            images = self.images[picked]
            if self.train and self.augmentation:
                # Seeded by batch, so that resuming within an epoch needs no replay.
                images = self.augmentation(images, self._generator(_AUGMENT_STREAM, epoch, self.rank, batch))
            self._position = {"epoch": epoch, "batch": batch + 1}
            yield images, self.labels[picked]

    def state_dict(self) -> dict[str, int]:
        """Returns the epoch and the number of its batches taken so far, for a checkpoint."""
        return dict(self._position)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Lets the next iteration continue from a state, if it is of the same, unfinished epoch.

        Args:
            state: From `state_dict`.
        """
        self._resume = dict(state)

    def _take_start(self, epoch: int) -> int:
        resume, self._resume = self._resume, None
        if resume is None or resume["epoch"] != epoch or resume["batch"] >= len(self):
            return 0
        return resume["batch"]

    def _order(self, epoch: int) -> Tensor:
        """Positions in `images` that this rank visits, in order."""
        if not self.train:
            return self.indices[self.rank :: self.world_size]
        # Drawn on the CPU, so that the order is the same on every device.
        permutation = torch.randperm(len(self.indices), generator=self._generator(_SHUFFLE_STREAM, epoch))
        shard = permutation[: self.shard_size * self.world_size][self.rank :: self.world_size]
        return self.indices[shard.to(self.indices.device)]

    def _generator(self, stream: int, epoch: int, rank: int = 0, batch: int = 0) -> torch.Generator:
        # SeedSequence mixes the numbers: neighbouring seeds and epochs give unrelated streams.
        mixed = np.random.SeedSequence([self.seed, epoch, stream, rank, batch]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(mixed) >> 1)
