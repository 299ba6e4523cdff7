"""predict.py: class and probabilities of a person's own pictures, and what the network's codes look like."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.predict.digit import as_digit
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
        UserError: if the network or a picture can't be read.
    """
    pictures = read_pictures(Path(config["images"]))
    engine, logit_scale = open_engine(config)
    digits = np.stack([as_digit(picture.pixels, config["invert"], config["center"]) for picture in pictures])
    probabilities = softmax(_logits(engine, digits[:, None]) * logit_scale)
    predictions = [
        Prediction(picture.name, digit, row)
        for picture, digit, row in zip(pictures, digits, probabilities, strict=True)
    ]
    output_dir = Path(config["paths"]["output_dir"])
    written = [output_dir / PREDICTIONS_FILE, output_dir / PREDICTIONS_PICTURE]
    _write_table(written[0], predictions)
    predictions_figure(predictions).savefig(written[1], dpi=120)
    _, codes = engine.codes(digits[: config["sheets"], None])
    for index in range(min(config["sheets"], len(digits)) if codes else 0):
        written.append(output_dir / f"codes_{index}.png")
        codes_figure(predictions[index], {layer: values[index] for layer, values in codes.items()}).savefig(written[-1])
    _print_table(predictions, config["show"])
    blank = [prediction.name for prediction in predictions if not prediction.digit.any()]
    if blank:
        print(f"{counted(len(blank), 'picture')} without any ink: {', '.join(blank[:3])}", end="\n\n")
    print("written:", *written, sep="\n  ")
    return predictions


def _logits(engine: Engine, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    parts = [engine.logits(pixels[begin : begin + _BATCH]) for begin in range(0, len(pixels), _BATCH)]
    return np.concatenate(parts)


def _write_table(path: Path, predictions: Sequence[Prediction]) -> None:
    classes = range(len(predictions[0].probabilities))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "class", *(f"probability_{label}" for label in classes)])
        for name, _, row in predictions:
            writer.writerow([name, int(row.argmax()), *(f"{value:.6f}" for value in row)])


def _print_table(predictions: Sequence[Prediction], show: int) -> None:
    rows = []
    for name, _, row in predictions[:show]:
        first, second = np.argsort(-row, kind="stable")[:2]
        rows.append([name, first, percent(row[first]), second, percent(row[second])])
    print(text_table(rows, ["picture", "class", "probability", "next", "probability"]))
    if len(predictions) > show:
        print(f"... and {len(predictions) - show:,} more, in {PREDICTIONS_FILE}")
    print()
