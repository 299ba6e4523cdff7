"""Every file of conf/ composes, has the types of its schema, and builds what it describes."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict

from apot_lit.benchmark.setting import build_setting
from apot_lit.config.instantiate import build_all
from apot_lit.config.registration import plain, register
from apot_lit.data.datamodule import build_datamodule
from apot_lit.models.build import build_network
from apot_lit.quant import QuantSpec
from apot_lit.quant.spec import CalibrationSpec, spec_of
from apot_lit.training.optimizers import build_optimizer, build_scheduler
from apot_lit.training.trainer import build_trainer
from tests.conftest import ROOT, slowly

CONF = ROOT / "conf"
TRAIN_GROUPS = (
    "model",
    "quant",
    "data",
    "optimizer",
    "scheduler",
    "trainer",
    "callbacks",
    "logger",
    "experiment",
    "debug",
    "sweep",
)
SCRIPTS = ("train", "evaluate", "export", "hardware", "predict", "report", "benchmark", "search")
NAMES = {
    "model=resnet": ["model.name=resnet10"],
    "model=torchvision": ["model.name=mobilenet_v3_small"],
    "model=timm": ["model.name=mobilenetv3_small_050"],
    "model=custom": ["model._target_=tests.models.test_foreign.Plain"],
}
CHOICES = [
    f"{path.parent.name}={path.stem}" for group in TRAIN_GROUPS for path in sorted((CONF / group).glob("*.yaml"))
]


def composed(name, tmp_path, *overrides):
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(name, list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    OmegaConf.set_readonly(config.hydra, False)
    with open_dict(config):
        config.hydra.runtime.output_dir = str(tmp_path)
        config.hydra.job.num = 0
    run_dir, sweep_dir = config.hydra.run.dir, config.hydra.sweep.dir
    assert "=" not in f"{run_dir}{sweep_dir}{config.hydra.sweep.subdir}"
    with open_dict(config):
        del config.hydra
        config.paths.output_dir = str(tmp_path)
    return plain(config)


def test_the_choices_are_all_of_conf():
    listed = {path for group in TRAIN_GROUPS for path in (CONF / group).glob("*.yaml")}
    rest = {path.relative_to(CONF).as_posix() for path in set(CONF.rglob("*.yaml")) - listed}
    assert rest == {
        *(f"{script}.yaml" for script in SCRIPTS),
        *(f"hydra/{script}.yaml" for script in SCRIPTS),
        *("paths/default.yaml", "benchmark/quick.yaml", "benchmark/full.yaml", "benchmark/inference.yaml"),
        *("benchmark/microcontroller.yaml", "benchmark/trainings.yaml"),
        *("hardware/quick.yaml", "hardware/full.yaml", "hydra/launcher/slurm.yaml"),
    }


_HEAVY = ("logger=mlflow", "logger=wandb")  # to import


@pytest.mark.parametrize("choice", ["", *(name for name in CHOICES if name not in _HEAVY), *slowly(*_HEAVY)])
def test_train_composes_and_builds(choice, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    group, _, name = choice.partition("=")
    choice = choice.replace("callbacks=default", "") if name == "default" else choice
    more = NAMES.get(choice, [])
    if choice == "model=timm":
        pytest.importorskip("timm", reason="timm is not installed")
    if choice == "logger=mlflow":  # not into the store of this project's own runs
        more = [f"logger.mlflow.tracking_uri=sqlite:///{tmp_path}/mlflow.db", "logger.mlflow.artifact_location=null"]
    if group == "callbacks" and name != "default":
        choice = f"callbacks=[{name}]"
    config = composed("train", tmp_path, *([choice] if choice else []), *more)
    torch.manual_seed(0)
    if choice not in ("data=image_folder", "data=tensors"):  # these are of the user's own files
        assert build_datamodule(config).split_sizes["test"] == 10_000
    network = build_network(config)
    optimizer = build_optimizer(network, config["optimizer"])
    assert build_scheduler(optimizer, config["scheduler"], total_steps=100, max_epochs=25)["scheduler"]
    callbacks = build_all(config["callbacks"], "callbacks")
    assert all(isinstance(callback, pl.Callback) for callback in callbacks)
    loggers = build_all(config["logger"], "logger")
    assert all(isinstance(logger, pl.loggers.Logger) for logger in loggers)
    if group == "logger":
        for logger in loggers:
            logger.log_hyperparams({"quant": config["quant"]})
            logger.log_metrics({"val/acc": 0.5}, step=1)
            logger.finalize("success")
    epochs = config["trainer"]["max_epochs"]
    assert (epochs == 0) == (choice == "experiment=ptq")
    if config["trainer"]["accelerator"] != "gpu":
        assert build_trainer(config["trainer"], callbacks=callbacks, logger=loggers).max_epochs == epochs


def test_evaluate_composes(tmp_path):
    config = composed("evaluate", tmp_path, "ckpt_path=x.ckpt")
    assert config["data_dir"] is None


def test_export_predict_and_report_compose(tmp_path):
    assert composed("predict", tmp_path, "ckpt_path=x.ckpt", "images=x.png")["sheets"] == 1
    assert composed("export", tmp_path, "ckpt_path=x.ckpt", "format=onnx")["overwrite"] is False
    assert Path(composed("report", tmp_path)["results_dir"]).name == "results"


@pytest.mark.parametrize(
    ("choice", "bits"),
    [
        ("quick", [2, 5, 8]),
        ("full", [2, 3, 4, 5, 6, 7, 8]),
        ("inference", [2, 4, 5]),
        ("microcontroller", [2, 5, 8]),
        ("trainings", [4]),
    ],
)
def test_benchmark_composes(tmp_path, choice, bits):
    config = composed("benchmark", tmp_path, f"benchmark={choice}", "device=cpu")
    setting = build_setting(config)
    assert config["apot_bits"] == bits
    assert setting.compile <= (choice == "full")
    assert config["inference"] == (choice == "inference")
    assert bool(config["microcontroller"]) == (choice == "microcontroller")
    assert bool(config["trainings"]) == (choice == "trainings")
    assert (config["data"]["batch_size"], config["width"], config["data"]["val_split"]) == (128, 16, 0)


def test_slurm_needs_nothing_but_a_partition(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    register()
    GlobalHydra.instance().clear()
    options = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        launcher = compose("train", options, return_hydra_config=True).hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher")
    assert (launcher.partition, launcher.gpus_per_node, launcher.cpus_per_task) == ("gpu", 1, 4)
    assert launcher.max_num_timeout > 0


def test_hardware_composes(tmp_path):
    assert composed("hardware", tmp_path)["targets"] == ["gates"]
    full = composed("hardware", tmp_path, "hardware=full")
    assert (full["bits"], full["targets"]) == ([2, 3, 4, 5], ["gates", "xilinx7", "xilinx7_dsp", "ice40"])


def test_a_search_has_the_choices_and_defaults_of_a_training(tmp_path):
    searched, trained = composed("search", tmp_path), composed("train", tmp_path)
    assert searched.pop("search")["name"] == "resnet18_size"
    assert searched == {key: value for key, value in trained.items() if key not in ("test", "ckpt_path", "sweep")}
    lists = [OmegaConf.load(CONF / f"{name}.yaml").defaults for name in ("train", "search")]
    groups = [[one for one in given if str(one) not in ("train_schema", "search_schema")] for given in lists]
    usual = [
        {**one, **({"hydra": "search"} if "hydra" in one else {})} if OmegaConf.is_dict(one) else one
        for one in groups[0]
    ]
    assert groups[1] == [one for one in usual if one != {"sweep": None}]


def test_defaults_are_those_of_the_readme(tmp_path):
    config = composed("train", tmp_path)
    assert (config["model"]["name"], config["quant"]["bit"], config["quant"]["power"]) == ("resnet18", 5, 1)
    assert (config["data"]["batch_size"], config["data"]["flip"], config["data"]["mean"]) == (128, False, 33 / 255)
    assert (config["optimizer"]["lr"], config["optimizer"]["weight_decay"]) == (0.01, 1e-4)
    assert (config["scheduler"]["name"], config["trainer"]["max_epochs"]) == ("constant", 25)


def test_the_defaults_of_the_quantiser_are_written_once(tmp_path):
    assert spec_of(composed("train", tmp_path)["quant"]) == (QuantSpec(), CalibrationSpec())


@pytest.mark.parametrize(("name", "scheme"), [("apot", "apot"), ("pot", "pot"), ("uniform", "uniform")])
def test_quant_files_choose_their_scheme(tmp_path, name, scheme):
    spec, _ = spec_of(composed("train", tmp_path, f"quant={name}")["quant"])
    assert spec.scheme == scheme


def test_reference_experiment_is_the_published_recipe(tmp_path):
    config = composed("train", tmp_path, "experiment=reference")
    assert (config["data"]["mean"], config["data"]["std"], config["data"]["flip"]) == (0.131, 0.308, True)
    assert (config["optimizer"]["momentum"], config["optimizer"]["lr"]) == (0.9, 0.01)
    assert (config["optimizer"]["weight_decay"], config["data"]["batch_size"]) == (1e-4, 128)
    assert (config["trainer"]["max_epochs"], config["scheduler"]["name"]) == (25, "constant")
