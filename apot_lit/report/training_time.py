"""What trainings took, by the clocks in their result files."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from apot_lit.report.collect import Collection, Group, Run
from apot_lit.report.data_sets import title_of
from apot_lit.report.tables import Table
from apot_lit.runs.text import network_name

_HEADERS = [
    *("Network", "Recipe", "Weights and activations", "Steps", "Machine", "Runs"),
    *("Images per second", "fastest", "Minutes per run", "shortest to longest"),
]
_NOTE = (
    "Training images for each second of the whole training, its validations included, and minutes for all epochs; "
    "medians over runs. The files don't tell what else the machine did. Other work ran beside most of these runs, and "
    "some were stopped for a while, so the fastest run is the one that says most of the machine. Runs that don't name "
    "CPU and threads are left out{left}."
)


class Kind(NamedTuple):
    """Runs that a row is of: what they computed, and where."""

    model: str
    recipe: str
    levels: str
    steps: str
    machine: str


def training_time_table(collection: Collection) -> str | None:
    """The table by network, recipe and machine, None without any run that names its machine.

    Args:
        collection: results on any data sets. Of each recipe the largest protocol counts, and the same with another
            stem.
    """
    found: dict[Kind, list[Run]] = defaultdict(list)
    nameless = 0
    for group in collection.groups:
        if group.main or _only_stem(collection, group):
            for run in (run for runs in group.runs.values() for run in runs):
                if run.machine is None or not _images(run):
                    nameless += 1
                else:
                    found[_kind(group, run, run.machine)].append(run)
    if not found:
        return None
    rows = [_row(kind, found[kind]) for kind in sorted(found, key=lambda one: (len(one.model), one))]
    left = f" ({nameless})" if nameless else ""
    return f"{Table('training_time', _HEADERS, rows).markdown()}\n\n{_NOTE.format(left=left)}"


def _only_stem(collection: Collection, group: Group) -> bool:
    """Whether a protocol is the largest one of its recipe and data set, but for the stem."""
    mains = [one for one in collection.groups if one.main and (one.recipe, one.data) == (group.recipe, group.data)]
    changed = {*group.protocol} ^ {*mains[0].protocol} if mains else set()
    return bool(changed) and all(key == "model.stem" for key, _ in changed)


def _kind(group: Group, run: Run, machine: str) -> Kind:
    config = run.result["config"]
    model = network_name(run.row.model, config["model"].get("stem", "reference"))
    recipe = group.recipe if group.data == "mnist" else f"{group.recipe}, {title_of(group.data)}"
    levels = "float32" if run.row.scheme == "float" else "quantised"
    return Kind(model, recipe, levels, "compiled" if config["trainer"].get("compile") else "eager", machine)


def _images(run: Run) -> int:
    """How many images the training saw, each as often as there were epochs; 0 where that is not known."""
    images: int = run.result.get("splits", {}).get("train", 0) * run.result["epochs"]
    return images if run.result["wall_seconds"] > 0 else 0


def _row(kind: Kind, runs: Sequence[Run]) -> list[str]:
    speeds = [_images(run) / run.result["wall_seconds"] for run in runs]
    minutes = [run.result["wall_seconds"] / 60 for run in runs]
    reach = "-" if len(runs) == 1 else f"{min(minutes):.1f} to {max(minutes):.1f}"
    fastest = "-" if len(runs) == 1 else f"{max(speeds):,.0f}"
    return [*kind, str(len(runs)), f"{median(speeds):,.0f}", fastest, f"{median(minutes):.1f}", reach]
