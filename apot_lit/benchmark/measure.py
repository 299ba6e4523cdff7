"""The whole benchmark: measures, compares with the targets, prints and writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from apot_lit.benchmark.benchmark_tables import inference_report, text_report
from apot_lit.benchmark.epoch_time import measure_epoch
from apot_lit.benchmark.evaluation_time import measure_evaluation
from apot_lit.benchmark.inference_time import measure_inference
from apot_lit.benchmark.microcontroller_cost import measure_microcontroller
from apot_lit.benchmark.microcontroller_table import microcontroller_table
from apot_lit.benchmark.picture import draw
from apot_lit.benchmark.pipeline_time import measure_pipeline
from apot_lit.benchmark.projection_time import measure_projection
from apot_lit.benchmark.setting import build_setting
from apot_lit.benchmark.step_time import measure_bits, measure_steps
from apot_lit.benchmark.targets import compare_with_targets
from apot_lit.benchmark.training_runs import Compose, measure_trainings
from apot_lit.benchmark.trainings_table import trainings_table
from apot_lit.errors import UserError
from apot_lit.runs.provenance import commit, hardware, versions
from apot_lit.runs.result import write_json

RESULT_FILE = "benchmark.json"
INFERENCE_FILE = "inference.json"
MICROCONTROLLER_FILE = "microcontroller.json"
TRAININGS_FILE = "trainings.json"
PICTURE = "benchmark.png"


def benchmark(config: dict[str, Any], compose: Compose) -> dict[str, Any]:
    """Measures everything, and writes ``benchmark.json`` and a picture to the output directory.

    With ``inference=true`` it measures exported networks alone, and writes ``inference.json``; with directories in
    ``microcontroller`` networks on a microcontroller, and writes ``microcontroller.json``; with recipes in
    ``trainings`` whole trainings, and writes ``trainings.json``.

    Args:
        config: plain, resolved configuration with the keys of `apot_lit.config.schemas.BenchmarkConfig`.
        compose: from overrides to a configuration of train.py, for the trainings.

    Returns:
        The content of ``benchmark.json``.

    Raises:
        UserError: for anything in the configuration that cannot work.
    """
    setting = build_setting(config)
    if config["inference"] and setting.device.type != "cpu":
        raise UserError(f"device={config['device']}: exported networks run on the CPU, give device=cpu")
    if config["compile"] and not setting.compile:
        print("no C++ compiler ($CXX, g++ or clang++): nothing is measured compiled")
    output_dir = Path(config["paths"]["output_dir"])
    facts = {
        "config": config,
        "versions": versions(),
        "commit": commit(),
        "hardware": hardware(setting.device),
        "repeats": setting.timer.repeats,
    }
    if config["inference"]:
        inference = {**facts, **measure_inference(setting)}
        return _written(inference, lambda: inference_report(inference), output_dir / INFERENCE_FILE)
    if config["microcontroller"]:
        cost = {**facts, **measure_microcontroller(setting)}
        return _written(cost, lambda: microcontroller_table([cost]), output_dir / MICROCONTROLLER_FILE)
    if config["trainings"]:
        took = {**facts, **measure_trainings(setting, compose)}
        return _written(took, lambda: trainings_table([took]), output_dir / TRAININGS_FILE)
    steps = measure_steps(setting)
    result: dict[str, Any] = {
        **facts,
        "compiled": setting.compile,
        "steps": steps,
        "step_8_to_2": measure_bits(setting),
        "projection": measure_projection(setting),
        "pipeline": measure_pipeline(setting, steps),
        "epoch": measure_epoch(setting),
        "evaluation": measure_evaluation(setting),
    }
    result["targets"] = compare_with_targets(result)
    write_json(output_dir / RESULT_FILE, result, config["paths"]["root_dir"])
    draw(result, output_dir / PICTURE)
    print(f"\n{text_report(result)}\n")
    print("written:", output_dir / RESULT_FILE, output_dir / PICTURE, sep="\n  ")
    return result


def _written(content: dict[str, Any], tables: Callable[[], str], path: Path) -> dict[str, Any]:
    """Writes what was measured, and only then makes and prints its tables."""
    write_json(path, content, content["config"]["paths"]["root_dir"])
    print(f"\n{tables()}\n\nwritten: {path}")
    return content
