"""What checkpoints, results and evaluations must hold, and reading a result."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apot_lit.config.sections import ModelConfig
from apot_lit.data.known import KNOWN
from apot_lit.data.options import SEED, DataOptions
from apot_lit.quant.spec import CalibrationSpec, QuantSpec
from apot_lit.runs.plain import Dense, Plain
from apot_lit.runs.protocol import protocol, row
from apot_lit.runs.schema import (
    All,
    Entries,
    Fields,
    Flag,
    Integer,
    Items,
    Number,
    OrNull,
    Rule,
    Schema,
    Text,
    below,
    misfit,
    one_line,
    options_of,
)

_NAME = Text(r"[A-Za-z0-9_.+-]{1,100}", "a name of letters, digits and _ . + -")
_TITLE = Text(r"[^\x00-\x1f\x7f/]{1,60}", "a text of at most 60 characters without / and line breaks")
_COUNT = Integer(low=0)


@dataclass(frozen=True)
class _Model(Schema):
    """The section ``model``: options of our own networks, or of one of another maker, which says whose."""

    def _check(self, value: Any, place: str) -> None:
        Fields({"name": _NAME}, {"library": Text("torchvision|timm|custom", "torchvision, timm or custom")})._check(
            value, place
        )
        if "library" not in value:
            options_of(ModelConfig)._check(value, place)
        elif value["library"] == "custom":
            Fields({"_target_": Text()})._check(value, place)


NETWORK_CONFIG: Schema = All(
    (
        Plain(),
        Fields(
            {
                "seed": Rule(lambda seed: seed in SEED, f"be {SEED}"),
                "model": _Model(),
                "quant": All((options_of(QuantSpec), options_of(CalibrationSpec))),
                "data": options_of(DataOptions),
            },
            {"inputs": Fields({"signed": Items(Text()), "idle": Items(Text()), "integers": Flag()})},
        ),
    )
)
"""What a network and its images depend on."""

CONFIG: Schema = All(
    (
        NETWORK_CONFIG,
        Fields(
            {
                "data": Fields({"batch_size": Integer(low=1)}),
                "optimizer": Fields({"name": _NAME, "lr": Number(), "weight_decay": Number()}),
                "scheduler": Fields({"name": _NAME}),
            },
            {
                "recipe": _TITLE,
                "trainer": Fields({"max_epochs": Integer()}),
                "callbacks": OrNull(Entries(Fields({"_target_": Text()}))),
            },
        ),
    )
)
"""The resolved configuration of a run, as far as results and resumed runs depend on it; the rest is checked in use."""

WEIGHTS: Schema = Fields({"state_dict": Entries(Dense())})
"""Any file of weights, that of another implementation too."""

CHECKPOINT: Schema = Fields({"hyper_parameters": Fields({"config": CONFIG})}, {"epoch": Integer(low=0)})
"""What a checkpoint of this project has besides its weights."""

_CONFUSION = All(
    (
        Items(Items(_COUNT)),
        Rule(lambda rows: all(len(row) == len(rows) for row in rows), "have as many columns as rows"),
        Rule(lambda rows: any(map(any, rows)), "count at least one image"),
    )
)
_MISCLASSIFIED = Items(Items(_COUNT, 3))
_HISTORY = All(
    (
        Entries(Items(OrNull(Number()))),
        Rule(lambda columns: len({len(column) for column in columns.values()}) <= 1, "have columns of one length"),
        Rule(
            lambda columns: not columns or None not in columns.get("epoch", [None]),
            "have a column epoch, without null",
        ),
    )
)
_HISTOGRAM = All(
    (
        Fields(
            {
                "layer": _NAME,
                "unit": Integer(low=1),
                "codes": Items(Number()),
                "code_counts": Items(Integer(low=0)),
                "bin_edges": Items(Number()),
                "bin_counts": Items(Integer(low=0)),
            }
        ),
        Rule(lambda parts: len(parts["codes"]) == len(parts["code_counts"]), "have a count for each code"),
        Rule(lambda parts: len(parts["bin_edges"]) == len(parts["bin_counts"]) + 1, "have a count between bin edges"),
        Rule(lambda parts: parts["bin_edges"] == sorted(set(parts["bin_edges"])), "have rising bin_edges"),
    )
)
_HARDWARE = Fields({"cpu": Text(), "threads": Integer(low=1), "device": Text()})


@dataclass(frozen=True)
class _OfItsData(Schema):
    """A result whose confusion matrix and wrong images are those of the data set that its configuration describes."""

    def _check(self, value: Any, place: str) -> None:
        data = value["config"]["data"]
        classes, known = data.get("classes", DataOptions.classes), KNOWN.get(data.get("source", DataOptions.source))
        confusion, wrong = value.get("confusion"), value.get("misclassified")
        if confusion is not None:
            Items(Items(_COUNT, classes), classes)._check(confusion, below(place, "confusion"))
        counted = sum(map(sum, confusion or [])) if known is None else known.sizes["test"]
        image, label = Integer(0, counted - 1), Integer(0, classes - 1)
        for index, found in enumerate(wrong or []):
            for position, (number, schema) in enumerate(zip(found, (image, label, label), strict=True)):
                schema._check(number, below(place, f"misclassified[{index}][{position}]"))


RESULT: Schema = All(
    (
        Plain(),
        Fields(
            {"config": CONFIG, "epochs": Integer(low=0), "wall_seconds": Number(low=0)},
            {
                part: OrNull(schema)
                for part, schema in {
                    **{f"{split}_accuracy": Number(0, 1) for split in ("train", "val", "test")},
                    "best_epoch": Integer(low=0),
                    "parameters": Integer(low=1),
                    "commit": Text(),
                    "confusion": _CONFUSION,
                    "misclassified": _MISCLASSIFIED,
                    "history": _HISTORY,
                    "weight_histogram": _HISTOGRAM,
                    "hardware": _HARDWARE,
                }.items()
            },
        ),
        _OfItsData(),
    )
)
"""What `train.py` writes to ``result.json``; accuracies are missing where nothing was tested."""

EVALUATION: Schema = Fields({"confusion": _CONFUSION, "images": Integer(low=1)})
"""What is used of what `evaluate.py` writes to ``evaluation.json``."""


class NotUsable(Exception):
    """Why a file can't be used, in one line."""


def read_evaluation(path: Path) -> dict[str, Any]:
    """Reads what one evaluation wrote.

    Args:
        path: its ``evaluation.json``.

    Raises:
        NotUsable: if the file can't be read, or a part is not as `EVALUATION` describes it.
    """
    content: dict[str, Any] = read_json(path)
    wrong = misfit(content, EVALUATION)
    if wrong is not None:
        raise NotUsable(f"damaged ({wrong})")
    return content


def read_result(path: Path) -> dict[str, Any] | None:
    """Reads the result of a training, whole: one that is wrong anywhere is not used in part.

    Args:
        path: a JSON file.

    Returns:
        The result without its nulls, None if the file is not one of a training (it has no ``config`` or ``epochs``).

    Raises:
        NotUsable: if the file can't be read, or a part is not as `RESULT` describes it.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not {"config", "epochs"} <= content.keys():
        return None
    wrong = misfit(content, RESULT)
    if wrong is not None:
        raise NotUsable(f"damaged ({wrong})")
    result = {key: value for key, value in content.items() if value is not None}
    try:
        row(result["config"]), protocol(result["config"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotUsable(one_line(f"damaged (its config: {type(error).__name__} {error})")) from error
    return result


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        NotUsable: if that is not possible.
    """
    try:
        if not path.is_file():
            raise OSError("not a file")
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError, MemoryError) as error:
        raise NotUsable(one_line(f"damaged ({type(error).__name__}: {error})", 120)) from error
