"""predict.py: class and probabilities of a person's own pictures, and what the network's codes look like."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.predict.expected import as_expected
from apot_lit.predict.open_network import Engine, open_engine
from apot_lit.predict.pictures import read_pictures
from apot_lit.predict.prediction import Prediction, softmax
from apot_lit.predict.sheets import codes_figure, predictions_figure
from apot_lit.runs.text import counted, percent, text_table

PREDICTIONS_FILE = "predictions.csv"
PREDICTIONS_PICTURE = "predictions.png"
_BATCH = 500


def predict(config: Mapping[str, Any]) -> list[Prediction]:
    """Predicts the class of pictures.

    Prints a table, and writes all probabilities, a sheet of the pictures as the network reads them and, of the first
    ones, a sheet of the codes of each quantised layer to the output directory.

    Args:
        config: plain configuration with the keys of `apot_lit.config.schemas.PredictConfig`.

    Returns:
        One prediction for each picture.

    Raises:
        UserError: if the network or a picture can't be read, or is to be made what the network does not read.
    """
    engine, logit_scale, expected = open_engine(config)
    pictures = read_pictures(Path(config["images"]), expected.in_colour)
    images = np.stack([as_expected(one.pixels, expected, config["invert"], config["center"]) for one in pictures])
    probabilities = softmax(_logits(engine, images) * logit_scale)
    names = expected.names(probabilities.shape[1])
    predictions = [
        Prediction(picture.name, image, row)
        for picture, image, row in zip(pictures, images, probabilities, strict=True)
    ]
    output_dir = Path(config["paths"]["output_dir"])
    written = [output_dir / PREDICTIONS_FILE, output_dir / PREDICTIONS_PICTURE]
    _write_table(written[0], predictions, names)
    predictions_figure(predictions, names).savefig(written[1], dpi=120)
    codes = _codes(engine, images[: config["sheets"]])
    for index in range(min(config["sheets"], len(images)) if codes else 0):
        written.append(output_dir / f"codes_{index}.png")
        of_one = {layer: values[index] for layer, values in codes.items()}
        codes_figure(predictions[index], names, of_one).savefig(written[-1])
    _print_table(predictions, names, config["show"])
    blank = [prediction.name for prediction in predictions if not prediction.pixels.any()]
    if blank and expected.digits:
        print(f"{counted(len(blank), 'picture')} without any ink: {', '.join(blank[:3])}", end="\n\n")
    print("written:", *written, sep="\n  ")
    return predictions


def _logits(engine: Engine, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    parts = [engine.logits(pixels[begin : begin + _BATCH]) for begin in range(0, len(pixels), _BATCH)]
    return np.concatenate(parts)


def _codes(engine: Engine, pixels: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[Any]]:
    """Codes by layer, of layers that read a row for each picture: some transformers' read windows of pictures."""
    if not len(pixels):
        return {}
    _, codes = engine.codes(pixels)
    return {layer: values for layer, values in codes.items() if len(values) == len(pixels)}


def _write_table(path: Path, predictions: Sequence[Prediction], names: Sequence[str]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "class", *(f"probability_{name}" for name in names)])
        for name, _, row in predictions:
            writer.writerow([name, names[int(row.argmax())], *(f"{value:.6f}" for value in row)])


def _print_table(predictions: Sequence[Prediction], names: Sequence[str], show: int) -> None:
    rows = []
    for name, _, row in predictions[:show]:
        first, second = np.argsort(-row, kind="stable")[:2]
        rows.append([name, names[first], percent(row[first]), names[second], percent(row[second])])
    print(text_table(rows, ["picture", "class", "probability", "next", "probability"]))
    if len(predictions) > show:
        print(f"... and {len(predictions) - show:,} more, in {PREDICTIONS_FILE}")
    print()
