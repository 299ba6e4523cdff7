"""Every data set by its source: an official one, directories of pictures, or arrays; one check for all of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from apot_lit.data.arrays import load_arrays
from apot_lit.data.embedded import has_files, load_idx_pair
from apot_lit.data.folders import folder_classes, load_folder
from apot_lit.data.known import KNOWN, OfficialSet, usual_directory
from apot_lit.data.options import IMAGE_FOLDER, DataOptions
from apot_lit.errors import UserError


def load_set(options: DataOptions, split: OfficialSet) -> tuple[Tensor, Tensor]:
    """Loads the training or test set; each is read once per process, and must not be written to.

    Args:
        options: of the data.
        split: "train" or "test". Without a test set of its own, a folder or file is divided by `options.test_split`.

    Returns:
        Images `[N, C, H, W]`, uint8 pixels 0..255, and labels `[N]`, int64 classes, both on the CPU.

    Raises:
        UserError: If files are missing, damaged, or not as the options say.
    """
    if options.source in KNOWN:
        return load_idx_pair(options.data_dir, split, options.download, options.source)
    if options.download:
        raise UserError(f"data.download=true: must be false with data.source={options.source}, which is your own data")
    load = load_folder if options.source == IMAGE_FOLDER else load_arrays
    return load(
        Path(options.data_dir).expanduser().resolve(),
        split,
        (options.channels, options.size, options.classes),
        (options.test_split, options.split_seed),
    )


def prepare_set(options: DataOptions) -> None:
    """Downloads a data set where that is asked for and its files are not there.

    Raises:
        UserError: If the download fails, or only some of the files are there.
    """
    if options.source in KNOWN and not has_files(options.data_dir, options.source):
        for split in KNOWN[options.source].sizes:
            load_set(options, split)


def set_size(options: DataOptions, split: OfficialSet) -> int:
    """The number of images in a set; known, or else counted.

    Raises:
        UserError: See `load_set`.
    """
    known = KNOWN.get(options.source)
    return len(load_set(options, split)[1]) if known is None else known.sizes[split]


def class_names(options: DataOptions) -> list[str]:
    """What the classes are called: by official names or those of folders; where there are none, by their numbers."""
    known = KNOWN.get(options.source)
    if known is not None:
        return list(known.class_names)
    in_folders = options.source == IMAGE_FOLDER and options.data_dir != ""
    names = folder_classes(Path(options.data_dir).expanduser()) if in_folders else []
    return names if len(names) == options.classes else [str(label) for label in range(options.classes)]


def placed(data: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The section ``data`` of a trained network, with its files where they lie on this machine.

    Args:
        data: perhaps of an older version, which knew MNIST alone, or without a directory, as in packed files.
        config: a script's, with ``data_dir`` (None: the usual one of an official set, or else that of the training),
            ``paths`` and perhaps ``download``.

    Raises:
        UserError: If there is no directory to look in.
    """
    source = data.get("source", DataOptions.source)
    usual = usual_directory(source, config["paths"]["root_dir"]) if source in KNOWN else data.get("data_dir")
    directory = usual if config["data_dir"] is None else config["data_dir"]
    if directory is None:
        raise UserError(f"data_dir: a value is needed: where the data set {data.get('name')} lies; add data_dir=...")
    return {**data, "data_dir": directory, "download": config.get("download", False)}
