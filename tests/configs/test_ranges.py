"""Every key of every schema with values that make sense in few places: elsewhere one line refuses them."""

import math

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from apot_lit.config.explain import explain
from apot_lit.config.instantiate import build_all
from apot_lit.config.registration import SCHEMAS, plain, register
from apot_lit.errors import UserError
from apot_lit.quant.ranges import Integer, ListOf, Number, OneOf, check, or_null
from tests.conftest import ROOT

VALUES = {
    "inf": math.inf,
    "nan": math.nan,
    "-1": -1,
    "0": 0,
    "10^9": 10**9,
    "1e300": 1e300,
    "text": "text",
    "list": [1],
    "null": None,
}
# What is chosen for a script, and the keys that are walked there: those that begin so.
WALKS = [
    (
        "train",
        ("model.name=resnet10", "ckpt_path=x"),
        ("seed", "paths", "recipe", "test", "ckpt", "init", "distill", "label_smoothing", "model"),
    ),
    ("train", ("model.name=resnet10",), ("data", "optimizer", "quant")),
    ("train", (), ("trainer",)),
    ("train", (), ("callbacks.best_c", "callbacks.last_c", "sweep")),
    (
        "train",
        ("experiment=best",),
        ("callbacks.t", "callbacks.lr", "callbacks.f", "callbacks.p", "callbacks.i", "callbacks.s"),
    ),
    ("train", ("experiment=best", "logger=csv"), ("callbacks.m", "callbacks.r", "logger.csv", "scheduler")),
    ("train", ("sweep=quick",), ("sweep.", "scheduler")),
    ("train", ("optimizer=adamw", "scheduler=multistep"), ("optimizer", "scheduler")),
    ("train", ("scheduler=onecycle",), ("scheduler",)),
    ("evaluate", ("model=resnet10", "ckpt_path=x"), ("",)),
    ("export", ("model=resnet10", "ckpt_path=x", "format=onnx"), ("",)),
    ("predict", ("model=resnet10", "ckpt_path=x", "images=x"), ("",)),
    ("report", (), ("",)),
    ("hardware", ("model=resnet10", "ckpt_path=x"), ("",)),
    (
        "benchmark",
        (),
        (
            *("seed", "data", "device", "inference", "microcontroller", "trainings", "epochs", "repeats", "models"),
            *("stems", "width", "paths"),
        ),
    ),
    ("benchmark", (), ("apot", "uniform", "compile", "projection", "pipeline", "evaluation")),
    ("search", ("model.name=resnet10",), ("search.",)),
]
INTEGERS = "-1 0 10^9"  # OmegaConf takes every integer for true or false
TEXT = "inf nan -1 0 10^9 1e300 text"
# The values that keys take; the others, and all of keys that are not listed, are refused.
TAKEN_BY = {
    "data.download data.flip optimizer.nesterov quant.additive trainer.compile": INTEGERS,
    "quant.weight_norm quant.weight_per_channel": INTEGERS,
    "trainer.channels_last invert center": f"{INTEGERS} null",
    "trainer.deterministic trainer.detect_anomaly": INTEGERS,
    "simulate equivalence test": INTEGERS,
    "act_bits arithmetic hardware:quant.bit export.stream_bit": "null",
    "layer": f"{TEXT} null",
    "download overwrite inference compile trainer.num_sanity_val_steps": INTEGERS,
    "paths.root_dir paths.output_dir data.data_dir data.name recipe results_dir published sweep.name": TEXT,
    "evaluate:ckpt_path export:ckpt_path predict:ckpt_path predict:images": TEXT,
    "data_dir": f"{TEXT} null",
    "ckpt_path init_from distill_from output": f"{TEXT} null",
    "seed data.split_seed": "0 10^9",
    "data.batch_size data.eval_batch_size batch_size": "10^9",
    "data.val_split data.test_split": "0 10^9",
    "data.mean data.rotate data.translate data.zoom data.shear data.elastic": "0",
    "optimizer.lr optimizer.momentum optimizer.weight_decay distill_weight label_smoothing quant.power": "0",
    "optimizer.norm_weight_decay optimizer.alpha_lr optimizer.alpha_weight_decay model.residual_gamma": "0 null",
    "scheduler.warmup scheduler.min_lr scheduler.pct_start": "0",
    "scheduler.div_factor scheduler.final_div_factor": "10^9",
    "scheduler.milestones": "list",
    "data.train_images": "10^9 null",
    "quant.weight_bit quant.act_bit quant.grad_scale quant.calibrate": "null",
    "evaluate:quant.bit export:quant.bit predict:quant.bit": "null",
    "trainer.threads trainer.gradient_clip_val trainer.profiler sweep": "null",
    "trainer.devices": "-1 list",
    "trainer.max_steps": "-1 10^9",
    "trainer.max_epochs": "0 10^9",
    "trainer.accumulate_grad_batches trainer.fast_dev_run repeats epochs": "10^9",
    "trainer.check_val_every_n_epoch trainer.log_every_n_steps": "10^9",
    "trainer.limit_train_batches trainer.limit_val_batches trainer.limit_test_batches": "10^9 null",
    "callbacks.best_checkpoint.dirpath callbacks.best_checkpoint.filename": "text null",
    "callbacks.best_checkpoint.monitor logger.csv.name": "text null",
    "callbacks.last_checkpoint.dirpath": "text",
    "callbacks.lr_monitor.logging_interval": "null",
    "callbacks.finite_loss.every_n_steps callbacks.reestimated_batch_norm.images": "10^9",
    "callbacks.progress.refresh_seconds callbacks.progress.line_seconds callbacks.moving_average.decay": "0",
    "logger.csv.save_dir": "text",
    "sweep.powers sweep.seeds documents microcontroller trainings": "list",
    "sheets": "0",
    "search.name search.prices": TEXT,
    "search.trials search.seed": "0 10^9",
    "search.margin": "0 null",
    "search.max_cost": "10^9 null",
}
TAKEN = {key: set(values.split()) for keys, values in TAKEN_BY.items() for key in keys.split()}


def composed(script, overrides):
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(script, [*overrides, "paths.output_dir=out", f"paths.root_dir={ROOT}"])


def keys_of(config, prefix=""):
    """Every key that holds a value, and those of objects that are built."""
    for key in map(str, config):
        child = config._get_node(key)
        section = isinstance(child, DictConfig) and not child._is_none()
        if not section or prefix in ("callbacks.", "logger."):
            yield prefix + key
        if section:
            yield from keys_of(child, f"{prefix}{key}.")


def what_is_said(config, key, value):
    """None if a value is taken."""
    config = config.copy()
    try:
        OmegaConf.update(config, key, value, merge=True)
        settings = plain(config)
        section, _, name = key.partition(".")
        if section in ("callbacks", "logger"):
            name = name.partition(".")[0]
            build_all({name: settings[section][name]}, section)
    except (UserError, OmegaConfBaseException) as error:
        return explain(error)
    return None


@pytest.mark.parametrize(
    ("script", "overrides", "starts"), WALKS, ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_a_value_is_taken_where_listed_and_refused_in_one_line_elsewhere(script, overrides, starts):
    config = composed(script, overrides)
    keys = [key for key in keys_of(config) if key.startswith(starts)]
    assert len(keys) >= len(starts)
    for key in keys:
        said = {label: what_is_said(config, key, value) for label, value in VALUES.items()}
        expected = TAKEN.get(f"{script}:{key}", TAKEN.get(key, set()))
        assert {label for label, line in said.items() if line is None} == expected, key
        for line in filter(None, said.values()):
            assert "\n" not in line
            assert all(part in line for part in key.split(".")), line


def test_the_walks_see_every_key():
    """But for what benchmark.py and search.py share with train.py, and the objects of the default choice."""
    shared = {"benchmark": ("optimizer.", "scheduler.", "callbacks.", "logger.")}
    shared["search"] = tuple(key.partition(".")[0] for key in keys_of(composed("train", ("model.name=resnet10",))))
    for script in SCHEMAS:
        walks = [walk for walk in WALKS if walk[0] == script]
        assert walks, script
        keys = {key for _, overrides, _ in walks for key in keys_of(composed(script, overrides))}
        starts = tuple(start for _, _, starts in walks for start in starts)
        unseen = {key for key in keys if not key.startswith(starts)}
        assert all(key.startswith(shared.get(script, ())) for key in unseen), unseen


ALLOWED = [
    *("optimizer.lr=0.1", "data.mean=0.5", "data.std=1", "model.width=64", "quant.bit=32", "trainer.threads=1"),
    *("trainer.devices=auto", "trainer.devices=[0,1]", "trainer.limit_test_batches=0.5", "trainer.max_steps=10"),
    *("trainer.limit_train_batches=1.0", "trainer.fast_dev_run=true", "trainer.profiler=simple", "data.flip=true"),
    *("distill_temperature=1", "trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1", "data.val_split=0"),
]


@pytest.mark.parametrize("override", ALLOWED)
def test_what_makes_sense_is_taken(override):
    assert plain(composed("train", [override]))


@pytest.mark.parametrize(
    ("range_", "inside", "outside", "words"),
    [
        (Integer(2), (2, 10**30), (1, 2.0, True, "2", None), "an integer of at least 2"),
        (Integer(0, 3), (0, 3), (-1, 4), "an integer from 0 to 3"),
        (Number(0, 0.5), (0, 0.0, 0.5), (-0.1, 0.6, math.nan, math.inf, True, "0", None), "a number from 0 to 0.5"),
        (Number(0, 1, below=True), (0, 0.999), (1, 1.0), "a number from 0 to less than 1"),
        (Number(0, 1e6, above=True), (1e-9, 1e6), (0, -0.0, 1e7), "a number above 0, at most 1000000"),
        (OneOf((1, 0), " (so)"), (1, 0), (True, False, 1.0, "1", [1]), "1 or 0 (so)"),
        (OneOf(("a", "b", None)), ("a", None), ("c", "null", ["a"]), "one of a, b, null"),
        (or_null(Integer(1, 2)), (None, 1), (0, "null"), "null or an integer from 1 to 2"),
        (
            ListOf(Integer(1), length=2),
            ([1, 2], (3, 3)),
            ([1], [1, 0], 1, "ab", None),
            "a list of 2, each an integer of",
        ),
        (ListOf(OneOf("ab"), distinct=True), (["a"], ["b", "a"]), ([], ["a", "a"]), "a list of at least one, all diff"),
        (ListOf(Integer(1), may_be_empty=True), ([],), ([0],), "a list, each an integer"),
    ],
)
def test_ranges_hold_what_they_say(range_, inside, outside, words):
    assert str(range_).startswith(words)
    for value in inside:
        check("key", value, range_)
    for value in outside:
        with pytest.raises(ValueError, match=r"^key=.*: must be "):
            check("key", value, range_)
