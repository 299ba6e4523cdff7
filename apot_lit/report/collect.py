"""Finding result files, and sorting them into what may stand in one row."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apot_lit.config.schemas import TrainConfig
from apot_lit.data.known import KNOWN
from apot_lit.data.options import DataOptions
from apot_lit.errors import UserError
from apot_lit.installed import only_in_clone
from apot_lit.report.statistics import Outcome
from apot_lit.runs.contents import NotUsable, read_result
from apot_lit.runs.protocol import Difference, Row, is_untrained, protocol, recipe, row
from apot_lit.runs.result import RESULT_FILE
from apot_lit.runs.text import processor

DIVERGED = "diverged.csv"
_TESTED = ("train_accuracy", "test_accuracy")


@dataclass(frozen=True)
class Run:
    """One finished training.

    Attributes:
        path: its result file, relative to the directory that was searched.
        result: content of the file without its nulls, as `apot_lit.runs.contents.RESULT` describes it.
        row: network, bit width and scheme.
        seed: its seed.
    """

    path: Path
    result: dict[str, Any]
    row: Row
    seed: int

    @property
    def test_accuracy(self) -> float:
        """Share of the test images classified correctly."""
        return float(self.result["test_accuracy"])

    @property
    def val_accuracy(self) -> float | None:
        """Share of the validation images classified correctly, None without any."""
        accuracy = self.result.get("val_accuracy")
        return None if accuracy is None else float(accuracy)

    @property
    def machine(self) -> str | None:
        """CPU, threads and device that it was trained on, None if that is not known."""
        facts = self.result.get("hardware")
        return None if facts is None else f"{processor(facts)}, {facts['device']}"

    @property
    def outcome(self) -> Outcome:
        """The test images classified correctly and not."""
        confusion, wrong = self.result.get("confusion"), self.result.get("misclassified")
        # A test may have been cut short; results without the matrix are old ones of MNIST.
        images = KNOWN["mnist"].sizes["test"] if confusion is None else sum(map(sum, confusion))
        positions = None if wrong is None else frozenset(image for image, _, _ in wrong)
        return Outcome(self.test_accuracy, images, positions)

    @property
    def train_accuracy(self) -> float:
        """Share of the training images classified correctly."""
        return float(self.result["train_accuracy"])


@dataclass(frozen=True)
class Group:
    """All runs of one protocol.

    Attributes:
        data: the name of the data set.
        name: its recipe, followed by what sets it apart from larger groups of the same recipe and data set.
        recipe: the recipe alone.
        main: whether it is the largest group of its recipe and data set.
        protocol: every option that differs from the defaults.
        runs: the runs by row, ordered by seed.
    """

    data: str
    name: str
    recipe: str
    main: bool
    protocol: tuple[Difference, ...]
    runs: dict[Row, list[Run]]

    @property
    def models(self) -> list[str]:
        """Its networks, by their depth where they are called by it."""
        return sorted({row.model for row in self.runs}, key=lambda name: (len(name), name))


@dataclass(frozen=True)
class Collection:
    """What was found below a directory.

    Attributes:
        groups: by recipe, the largest group of each first.
        left_out: path and reason of everything that is in no group.
        diverged: what the file ``diverged.csv`` says of runs that ended without a result, by recipe and row.
    """

    groups: list[Group]
    left_out: list[tuple[str, str]]
    diverged: dict[tuple[str, Row], str]

    def main(self, recipe: str) -> Group | None:
        """The first main group of a recipe, None without one."""
        return next((group for group in self.groups if group.recipe == recipe and group.main), None)


def collect(directory: Path) -> Collection:
    """Reads every result file (any name ending in .json) below a directory.

    Files of other kinds, such as benchmarks, evaluations and networks that were not trained or not to be tested, are
    passed over;
    directories of runs that never ended, repetitions of a run already seen, and damaged results are listed. One that is
    wrong in any part, such as its history, is left out as a whole: what changed that may have changed its accuracy.

    Raises:
        UserError: if the directory does not exist or holds no result at all.
    """
    if not directory.is_dir():
        raise UserError(f"results_dir={directory}: there is no such directory{only_in_clone(directory)}")
    left_out: list[tuple[str, str]] = []
    runs: dict[Any, Run] = {}
    for path in sorted(directory.rglob("*.json")):
        name = path.relative_to(directory)
        if any(part.startswith(".") for part in name.parts):
            continue
        try:
            found = _read(path, name)
        except NotUsable as reason:
            left_out.append((str(name), str(reason)))
            continue
        if found is None:
            continue
        identity = (protocol(found.result["config"]), found.row, found.seed)
        if identity in runs:
            left_out.append((str(name), f"the same run as {runs[identity].path}"))
        else:
            runs[identity] = found
    left_out += [(str(path.relative_to(directory)), "not finished") for path in _unfinished(directory)]
    if not runs:
        found_else = f" ({len(left_out)} left out, first {': '.join(left_out[0])})" if left_out else ""
        raise UserError(f"results_dir={directory}: holds no result of a finished training{found_else}")
    return Collection(_groups(runs.values()), left_out, _diverged(directory / DIVERGED))


def _diverged(path: Path) -> dict[tuple[str, Row], str]:
    """What became of runs whose loss was no number any more; a file with recipe, model, bit, scheme, seed and step."""
    if not path.is_file():
        return {}
    found: dict[tuple[str, Row], list[str]] = defaultdict(list)
    try:
        with path.open(newline="") as file:
            for line in csv.DictReader(file):
                row = Row(line["model"], int(line["bit"]), line["scheme"])
                found[line["recipe"], row].append(f"diverged at step {int(line['step'])} (seed {int(line['seed'])})")
    except (ValueError, LookupError, TypeError, OSError, csv.Error) as error:
        raise UserError(f"{path}: must have the columns recipe, model, bit, scheme, seed and step") from error
    return {key: ", ".join(said) for key, said in found.items()}


def _read(path: Path, name: Path) -> Run | None:
    result = read_result(path)
    if result is None:
        if path.name == RESULT_FILE:
            raise NotUsable("damaged (not a result)")
        return None
    if is_untrained(result["config"]):  # it has a table of its own
        return None
    if not result["config"].get("test", True) and "test_accuracy" not in result:  # a trial of a search
        return None
    missing = [key for key in _TESTED if key not in result]
    if missing:
        raise NotUsable(f"not finished (without {', '.join(missing)})")
    return Run(name, result, row(result["config"]), result["config"]["seed"])


def _unfinished(directory: Path) -> list[Path]:
    """Directories that a training wrote to but left no result in."""
    candidates = {path.parent for path in directory.rglob("checkpoints") if path.is_dir()}
    return sorted(path for path in candidates if not (path / "result.json").exists())


def _groups(runs: Iterable[Run]) -> list[Group]:
    by_protocol: dict[tuple[Difference, ...], list[Run]] = defaultdict(list)
    for run in runs:
        by_protocol[protocol(run.result["config"])].append(run)
    named = [(_recipe(members), options, members) for options, members in by_protocol.items()]
    # What is called default differs in nothing.
    largest: dict[tuple[str, str], tuple[Difference, ...]] = {(DataOptions.name, TrainConfig.recipe): ()}
    groups = []
    for name, options, members in sorted(named, key=lambda item: (item[0], -len(item[2]), item[1])):
        data = dict(options).get("data.name", DataOptions.name)
        usual = largest.setdefault((data, name), options)
        main = options == usual
        rows: dict[Row, list[Run]] = defaultdict(list)
        for run in sorted(members, key=lambda run: run.seed):
            rows[run.row].append(run)
        title = name if main else f"{name} with {_difference(dict(usual), dict(options))}"
        groups.append(Group(data, title, name, main, options, dict(rows)))
    return groups


def _recipe(runs: list[Run]) -> str:
    """The most frequent name that runs of one protocol give it; the name does nothing, so equal protocols are one."""
    names = Counter(recipe(run.result["config"]) for run in runs)
    names[TrainConfig.recipe] = 0  # any other says more
    return names.most_common(1)[0][0]


def _difference(usual: dict[str, str], options: dict[str, str]) -> str:
    changed = [f"{key}={value}" for key, value in sorted(options.items()) if usual.get(key) != value]
    dropped = [f"default {key}" for key in sorted(usual.keys() - options.keys())]
    return ", ".join([*changed, *dropped])
