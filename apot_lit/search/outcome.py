"""What a search leaves: the front as picture and tables, and an experiment of the chosen point."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from apot_lit.runs.files import replacing, write_text
from apot_lit.runs.protocol import recipe
from apot_lit.runs.result import write_json
from apot_lit.search.front import Point, choose, pareto_front
from apot_lit.search.front_picture import front_figure
from apot_lit.search.next_trial import TRIALS
from apot_lit.search.plan import Plan
from apot_lit.search.space import options_of
from apot_lit.sweep.job import finished

FRONT_JSON, FRONT_CSV, PICTURE, CHOSEN = "front.json", "front.csv", "front.png", "experiment/chosen.yaml"
FILES = (FRONT_JSON, FRONT_CSV, PICTURE, CHOSEN)
_OF_RUN = ("versions", "commit", "hardware")


def write_outcome(plan: Plan, found: Sequence[Point]) -> Point | None:
    """Writes all files of a search anew.

    Args:
        plan: the search.
        found: its trials.

    Returns:
        The chosen point; None, and nothing is written, before a trial has finished.

    Raises:
        UserError: if nothing is within ``search.max_cost``.
    """
    front, settings, directory = pareto_front(found), plan.settings, plan.directory
    if not front:
        return None
    chosen = choose(front, settings["max_cost"])
    place = directory / TRIALS / chosen.directory
    config = plan.config(chosen.params, place)
    result = finished(config) or {}
    content = {
        "search": {key: value for key, value in settings.items() if key != "prices"},
        "settings": plan.identity(),
        "recipe": recipe(config),
        "trials": [asdict(point) for point in found],
        "front": [point.trial for point in front],
        "chosen": chosen.trial,
        **{key: result.get(key) for key in _OF_RUN},
    }
    write_json(directory / FRONT_JSON, content, config["paths"]["root_dir"])
    write_text(directory / FRONT_CSV, _table(front))
    with replacing(directory / PICTURE) as file:
        front_figure(found, front, chosen, settings["cost"]).savefig(file, format="png", dpi=150)
    (directory / CHOSEN).parent.mkdir(exist_ok=True)
    write_text(directory / CHOSEN, experiment(config, chosen, settings["cost"]))
    return chosen


def experiment(config: Mapping[str, Any], chosen: Point, cost: str) -> str:
    """A file for the group ``experiment`` with network, levels and searched options of a point."""
    sections: dict[str, Any] = {
        "defaults": [{"override /model": config["model"].get("library", "resnet")}],
        "model": dict(config["model"]),
        "quant": dict(config["quant"]),
    }
    for name, value in options_of(chosen.params).items():
        section, _, key = name.rpartition(".")
        if section not in ("model", "quant"):
            place = sections
            for part in section.split("."):
                place = place.setdefault(part, {}) if part else place
            place[key] = value
    said = f"# Trial {chosen.trial} of a search: {cost} {chosen.cost:.15g}, {chosen.accuracy:.4f} in validation.\n"
    return f"# @package _global_\n{said}{yaml.safe_dump(sections, sort_keys=False, width=120)}"


def _table(front: Sequence[Point]) -> str:
    names = list(dict.fromkeys(name for point in front for name in point.params))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["trial", "cost", "val_accuracy", *names, "directory"])
    for point in front:
        values = (point.params.get(name) for name in names)
        table.writerow([point.trial, f"{point.cost:.15g}", point.accuracy, *values, f"{TRIALS}/{point.directory}"])
    return text.getvalue()
