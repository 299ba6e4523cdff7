"""Reads pictures of any kind as arrays of grey values, or in colour."""

import gzip
import lzma
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from apot_lit.data.idx import parse_idx
from apot_lit.errors import UserError

Pixels = npt.NDArray[np.uint8]

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm")
_OPEN: dict[str, Callable[[Path], bytes]] = {
    ".gz": lambda path: gzip.decompress(path.read_bytes()),
    ".xz": lambda path: lzma.decompress(path.read_bytes()),
}
_KINDS = f"a picture ({', '.join(_PICTURES)}), a folder of pictures, an array (.npy), or an IDX file (-idx3-ubyte)"


class Picture(NamedTuple):
    """One picture.

    Attributes:
        name: of the file, with the position in it where it holds several.
        pixels: grey values ``[H, W]``, or red, green and blue ``[H, W, 3]``, 0 (black) to 255 (white).
    """

    name: str
    pixels: Pixels


def read_pictures(path: Path, colour: bool = False) -> list[Picture]:
    """Reads pictures.

    Args:
        path: a picture file, which may hold several; a folder, whose picture files are read in the order of their
            names; a NumPy file of ``[H, W]``, ``[N, H, W]`` or ``[N, 1, H, W]``, integers of 0 to 255, floats of 0 to 1
            or booleans; or an IDX file of ``[N, H, W]`` bytes, perhaps compressed by gzip or xz. What is transparent is
            white.
        colour: whether to read colours, of arrays ``[H, W, 3]``, ``[3, H, W]``, ``[N, H, W, 3]`` or ``[N, 3, H, W]``;
            what has none is read all the same. False: colours of picture files become grey values.

    Returns:
        At least one picture.

    Raises:
        UserError: if there is nothing there, or it is none of these, or damaged.
    """
    if not path.exists():
        raise UserError(f"images={path}: there is no such file or folder; give {_KINDS}")
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in _PICTURES)
        if not files:
            raise UserError(f"images={path}: the folder holds no picture ({', '.join(_PICTURES)})")
        return [picture for file in files for picture in _read_picture(file, colour)]
    if path.suffix.lower() in _PICTURES:
        return _read_picture(path, colour)
    if path.suffix == ".npy":
        return _numbered(path, _as_pictures(path, _read_array(path), colour))
    if "idx" in path.name:
        grey = _as_pictures(path, _read_idx(path), colour=False)
        return _numbered(path, _in_colour(grey) if colour else grey)
    raise UserError(f"images={path}: must be {_KINDS}")


def _read_picture(path: Path, colour: bool) -> list[Picture]:
    """The picture of a file, or all of one that holds several."""
    try:
        with Image.open(path) as opened:
            return _numbered(path, [_pixels(path, frame, colour) for frame in ImageSequence.Iterator(opened)])
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise UserError(f"images={path}: can't be read as a picture ({_first_line(error)})") from error


def _pixels(path: Path, frame: Image.Image, colour: bool) -> Pixels:
    picture = ImageOps.exif_transpose(frame)
    if picture.mode.startswith(("I", "F")):  # more than 8 bits a pixel, which a conversion would clip
        grey = _scaled_down(path, np.asarray(picture))
        return _in_colour(grey) if colour else grey
    rgba = picture.convert("RGBA")
    opaque = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(opaque.convert("RGB" if colour else "L"))


def _scaled_down(path: Path, values: npt.NDArray[Any]) -> Pixels:
    if not (np.isfinite(values).all() and values.min(initial=0) >= 0 and values.max(initial=0) <= 65535):
        raise UserError(f"images={path}: pixels must be from 0 to 65535")
    largest = 65535 if values.max(initial=0) > 255 else 255
    if np.issubdtype(values.dtype, np.floating) and values.max(initial=0) <= 1:
        largest = 1
    return np.rint(values.astype(np.float64) * (255 / largest)).astype(np.uint8)


def _read_array(path: Path) -> Pixels:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise UserError(f"images={path}: can't be read as an array ({_first_line(error)})") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"images={path}: holds several arrays (.npz); must be one (.npy)")
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    elif np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min(initial=0) >= 0 and array.max(initial=0) <= 1):
            raise UserError(f"images={path}: floats must be from 0 to 1")
        array = np.rint(array * 255)
    elif not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"images={path}: holds {array.dtype}; must be integers, floats or booleans")
    if array.min(initial=0) < 0 or array.max(initial=0) > 255:
        raise UserError(f"images={path}: integers must be from 0 to 255")
    return array.astype(np.uint8)


def _read_idx(path: Path) -> Pixels:
    try:
        contents = _OPEN.get(path.suffix, Path.read_bytes)(path)
        return parse_idx(contents)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise UserError(f"images={path}: can't be read as an IDX file ({_first_line(error)})") from error


def _as_pictures(path: Path, array: Pixels, colour: bool) -> Pixels:
    """The array as ``[N, H, W]``, in colour ``[N, H, W, 3]``."""
    shape = array.shape
    if colour and array.ndim in (3, 4) and 0 not in shape and 3 in (shape[-1], shape[-3]):
        pictures = array.reshape(-1, *shape[-3:])
        return pictures if shape[-1] == 3 else pictures.transpose(0, 2, 3, 1)
    if array.ndim == 4 and shape[1] == 1:
        array = array[:, 0]
    elif array.ndim == 2:
        array = array[None]
    in_colour = not colour and 3 in shape[-1:]  # read as [N, H, W] it would be of strips
    if array.ndim != 3 or 0 in shape or in_colour:
        forms = "[H, W], [N, H, W] or [N, 1, H, W]"
        forms += ", in colour [H, W, 3], [3, H, W], [N, H, W, 3] or [N, 3, H, W]" if colour else ""
        raise UserError(f"images={path}: has the shape {list(shape)}; must be {forms}{' of grey' * in_colour}")
    return _in_colour(array) if colour else array


def _in_colour(grey: Pixels) -> Pixels:
    """Grey values ``[..., H, W]`` as red, green and blue ``[..., H, W, 3]``."""
    return np.repeat(grey[..., None], 3, axis=-1)


def _numbered(path: Path, arrays: Sequence[Pixels] | Pixels) -> list[Picture]:
    names = [path.name] if len(arrays) == 1 else [f"{path.name}[{index}]" for index in range(len(arrays))]
    return [Picture(name, pixels) for name, pixels in zip(names, arrays, strict=True)]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:150]
