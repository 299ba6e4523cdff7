"""Choosing training and validation images."""

import numpy as np
import numpy.typing as npt


def split_by_class(
    labels: npt.NDArray[np.int64], val_count: int, train_count: int, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Chooses disjoint, stratified training and validation images.

    The choice of the validation images does not depend on `train_count`. It is made from the raw output of PCG64,
    which NumPy promises never to change, unlike that of its shuffles.

    Args:
        labels: Class `[N]` of each image.
        val_count: Number of validation images.
        train_count: Number of training images, at most `N - val_count`.
        seed: Of the choice; not negative.

    Returns:
        Ascending positions of the training images and of the validation images.
    """
    keys = np.random.PCG64(seed).random_raw(len(labels))
    classes, sizes = np.unique(labels, return_counts=True)
    val_quotas = proportional_quotas(sizes, val_count)
    train_quotas = proportional_quotas(sizes - val_quotas, train_count)
    train, val = [], []
    for digit, val_quota, train_quota in zip(classes, val_quotas, train_quotas, strict=True):
        members = np.flatnonzero(labels == digit)
        members = members[np.argsort(keys[members], kind="stable")]
        val.append(members[:val_quota])
        train.append(members[val_quota : val_quota + train_quota])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(val))


def proportional_quotas(sizes: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Divides a number among classes in proportion to their sizes, by the largest remainder method.

    Args:
        sizes: Members of each class.
        count: Number to divide, at most the sum of the sizes.

    Returns:
        A quota per class, at most its size; the quotas sum to `count`. Equal remainders favour earlier classes.

    Example:
        >>> proportional_quotas(np.array([50, 30, 20]), 7).tolist()
        [4, 2, 1]
    """
    quotas, remainders = np.divmod(sizes * count, sizes.sum())
    left_over = count - int(quotas.sum())
    quotas[np.argsort(-remainders, kind="stable")[:left_over]] += 1
    return quotas
