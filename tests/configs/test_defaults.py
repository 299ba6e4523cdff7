"""Every default has one source: YAML files and signatures say what the dataclasses say."""

import inspect
from dataclasses import asdict, fields

import pytest
import pytorch_lightning as pl
from omegaconf import OmegaConf

from apot_lit.config.schemas import TrainConfig
from apot_lit.config.sections import (
    OPTIMIZER_SCHEMAS,
    SCHEDULER_SCHEMAS,
    DataConfig,
    ModelConfig,
    QuantConfig,
    TrainerConfig,
)
from apot_lit.models import ResNet, input, resnet
from apot_lit.quant.ranges import ranges_of
from tests.configs.test_configs import CONF, composed

GROUPS = {
    **{f"optimizer/{schema.name}": schema for schema in OPTIMIZER_SCHEMAS},
    **{f"scheduler/{schema.name}": schema for schema in SCHEDULER_SCHEMAS},
    "quant/apot": QuantConfig,
    "data/mnist": DataConfig,
    "model/resnet": ModelConfig,
    "trainer/default": TrainerConfig,
}


def text(value):
    return str(list(value) if isinstance(value, tuple | list) else value)


@pytest.mark.parametrize(("file", "schema"), GROUPS.items(), ids=GROUPS)
def test_files_show_the_defaults(file, schema):
    shown = OmegaConf.to_container(OmegaConf.load(CONF / f"{file}.yaml"), resolve=False)
    defaults = asdict(schema())
    for key, value in shown.items():
        if key not in ("defaults", "data_dir"):
            assert text(value) == text(defaults[key]), key
    if file in ("quant/apot", "data/mnist", "model/resnet"):
        assert set(shown) - {"defaults"} == set(defaults)


def test_networks_have_the_defaults_of_their_schema():
    signature = inspect.signature(ResNet).parameters
    for option in fields(ModelConfig):
        if option.name != "name":
            assert signature[option.name].default == option.default, option.name


def test_networks_have_the_ranges_of_their_schema():
    assert ranges_of(ModelConfig) == resnet.RANGES
    assert input.RANGES.items() <= ranges_of(DataConfig).items()


def test_options_of_the_trainer_are_lightnings():
    own = {"compile", "channels_last", "threads"}
    assert {option.name for option in fields(TrainerConfig)} - own <= set(inspect.signature(pl.Trainer).parameters)


def test_what_train_py_composes_is_the_schemas(tmp_path):
    config = composed("train", tmp_path)
    for section, schema in (("quant", QuantConfig), ("data", DataConfig), ("model", ModelConfig)):
        defaults = {key: value for key, value in asdict(schema()).items() if value != "???"}
        assert {key: config[section][key] for key in defaults} == defaults
    assert config["seed"] == TrainConfig.seed
