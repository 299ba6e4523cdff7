"""Reading checkpoints: never running code from the file, one line for whatever is wrong with it; sealing them."""

import pickle
import stat
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from apot_lit.errors import UserError
from apot_lit.installed import only_in_clone
from apot_lit.runs.checksum import checksum
from apot_lit.runs.contents import CHECKPOINT, WEIGHTS
from apot_lit.runs.plain import Plain
from apot_lit.runs.schema import Fields, Integer, Text, misfit, one_line

SEAL = "apot_lit"
"""The key of a checkpoint that tells its format and checksum."""
FORMAT = 2
"""The newest format known; files without a seal are older."""
CONFIG_SECTIONS = ("model", "quant", "data", "optimizer", "scheduler")
_SEAL = Fields({"format": Integer(low=2), "checksum": Text()})
_NETWORK_PREFIX = "network."
LAST_CHECKPOINT = "checkpoints/last.ckpt"
"""What a run goes on from, in its directory."""
_ASIDE = ".damaged.ckpt"


def checkpoints_of(directory: Path) -> list[Path]:
    """The checkpoints of the run in a directory, without those that were put aside."""
    found = sorted((directory / LAST_CHECKPOINT).parent.glob("*.ckpt"))
    return [path for path in found if not path.name.endswith(_ASIDE)]


def put_aside(checkpoint: Path) -> Path:
    """Gives a checkpoint a name by which it is kept and not found; returns its new place."""
    return checkpoint.replace(checkpoint.with_name(checkpoint.stem + _ASIDE))


def sealed(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a checkpoint with a checksum over everything in it, which `read_file` then compares.

    Args:
        checkpoint: plain containers and dense tensors; a seal that it has is replaced.

    Raises:
        TypeError: if it holds anything else, which `read_file` would refuse.
    """
    content = _unsealed(checkpoint)
    wrong = misfit(content, Plain(tensors=True))
    if wrong is not None:
        raise TypeError(f"a checkpoint can't hold {wrong}")
    return {**content, SEAL: {"format": FORMAT, "checksum": checksum(content)}}


def read_file(path: str | Path, key: str) -> dict[str, Any]:
    """Reads a file of weights without running any code in it.

    Args:
        path: the file.
        key: the configuration key that named it, for the message.

    Returns:
        The dictionary in the file, tensors on the CPU; its ``state_dict`` maps names to dense tensors.

    Raises:
        UserError: if there is no such file, or it is a directory, damaged, anything but a checkpoint, sealed with
            another checksum than its own, or written by a newer version.
    """
    where = f"{key}={path}"
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        raise UserError(f"{where}: there is no such file, or it can't be reached{only_in_clone(Path(path))}") from error
    if stat.S_ISDIR(mode):
        raise UserError(f"{where}: is a directory; name the file in it, such as checkpoints/best.ckpt")
    try:
        checkpoint = _load(Path(path))
    except Exception as error:  # a foreign file makes torch raise anything
        # What torch says of these is how to run their code nevertheless, or which line of its own failed.
        foreign = isinstance(error, pickle.UnpicklingError | LookupError)
        said = one_line(str(error).strip().partition("\n")[0], 120)
        reason = "its content is not plain tensors and numbers" if foreign else f"{type(error).__name__}: {said}"
        raise UserError(f"{where}: is damaged or not a checkpoint ({reason})") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise UserError(f"{where}: is not a checkpoint (it has no state_dict)")
    _check_seal(checkpoint, where)
    wrong = misfit(checkpoint, WEIGHTS)
    if wrong is not None:
        raise UserError(f"{where}: is not a checkpoint ({wrong})")
    return checkpoint


def _load(path: Path) -> Any:
    if not path.is_file():
        raise OSError("not a file that can be read twice")
    with path.open("rb") as file:
        entries = zipfile.ZipFile(file).infolist() if zipfile.is_zipfile(file) else []
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ValueError("it is compressed, as torch never writes it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of kinds of tensors that no network here has
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_seal(checkpoint: Mapping[str, Any], where: str) -> None:
    if SEAL not in checkpoint:
        return  # of an older version, or another implementation
    seal = checkpoint[SEAL]
    wrong = misfit(seal, _SEAL)
    if wrong is not None:
        raise UserError(f"{where}: was changed after it was written: its checksum can't be read ({wrong})")
    if seal["format"] > FORMAT:
        raise UserError(f"{where}: was written by a newer version, in format {seal['format']}; here {FORMAT} is known")
    content = _unsealed(checkpoint)
    # The description first: a tensor that only pretends to be large would be made so by the checksum.
    if misfit(content, Plain(tensors=True)) is not None or checksum(content) != seal["checksum"]:
        raise UserError(f"{where}: was changed after it was written: its checksum does not fit")


def _unsealed(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in checkpoint.items() if key != SEAL}


def load_checkpoint(path: str | Path, key: str = "ckpt_path") -> dict[str, Any]:
    """Reads a checkpoint written by `train.py`.

    Args:
        path: the file.
        key: the configuration key that named it, for the message.

    Raises:
        UserError: as `read_file`, and for a checkpoint that carries no configuration.
    """
    checkpoint = read_file(path, key)
    require_config(checkpoint, f"{key}={path}")
    return checkpoint


def require_config(checkpoint: Mapping[str, Any], where: str) -> None:
    """Checks that a file read by `read_file` was written by `train.py`.

    Args:
        checkpoint: what `read_file` returned.
        where: key and value that named the file, for the message.

    Raises:
        UserError: if it carries no configuration.
    """
    hyper_parameters = checkpoint.get("hyper_parameters")
    config = hyper_parameters.get("config") if isinstance(hyper_parameters, Mapping) else None
    if not isinstance(config, Mapping) or not all(section in config for section in CONFIG_SECTIONS):
        raise UserError(f"{where}: is not a checkpoint of this project (it carries no configuration)")
    wrong = misfit(checkpoint, CHECKPOINT)
    if wrong is not None:
        raise UserError(f"{where}: is not as this project writes checkpoints ({wrong})")


def checkpoint_config(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the resolved configuration that a checkpoint carries."""
    config: dict[str, Any] = checkpoint["hyper_parameters"]["config"]
    return config


def network_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns the state of the network alone, with the names it has within the network."""
    state = checkpoint["state_dict"]
    return {k.removeprefix(_NETWORK_PREFIX): v for k, v in state.items() if k.startswith(_NETWORK_PREFIX)}


def load_network(network: nn.Module, state: Mapping[str, Tensor], where: str, allow_alphas: bool = False) -> None:
    """Loads weights that must fit the network.

    Args:
        network: the network to load into.
        state: what `network_state` returned.
        where: key and value that named the file, for the message.
        allow_alphas: see `require_fit`.

    Raises:
        UserError: as `require_fit`.
    """
    own = network.state_dict()
    require_fit(own, state, where, allow_alphas)
    network.load_state_dict({name: value for name, value in state.items() if name in own}, strict=False)


def require_fit(own: Mapping[str, Tensor], state: Mapping[str, Tensor], where: str, allow_alphas: bool = False) -> None:
    """Checks that weights have the names, shapes and kinds of numbers of a network, which may be on the meta device.

    Args:
        own: the state of the network.
        state: the weights.
        where: key and value that named their file, for the message.
        allow_alphas: let clipping thresholds be missing from, or left over in, `state`: from full precision to
            quantised and back.

    Raises:
        UserError: naming the first names or shapes that disagree.
    """

    def matters(name: str) -> bool:
        return not (allow_alphas and name.endswith(".raw_alpha"))

    missing = [name for name in own if name not in state and matters(name)]
    surplus = [name for name in state if name not in own and matters(name)]
    both = [name for name in own if name in state]
    shapes = [
        f"{name} is {list(state[name].shape)} in the file and {list(own[name].shape)} here"
        for name in both
        if own[name].shape != state[name].shape
    ]
    kinds = [
        f"{name} is {state[name].dtype} in the file and {own[name].dtype} here"
        for name in both
        if own[name].is_floating_point() != state[name].is_floating_point()
    ]
    problems = [
        f"{len(names)} {what} (first: {one_line(names[0])})"
        for what, names in (
            ("missing from it", missing),
            ("unknown here", surplus),
            ("of another shape", shapes),
            ("of another kind", kinds),
        )
        if names
    ]
    if problems:
        raise UserError(f"{where}: its weights do not fit this network: {'; '.join(problems)}")
