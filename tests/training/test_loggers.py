"""What loggers store, read back: the same metrics, options, tags, histograms and pictures under the same names."""

import csv
import importlib.util
import json

import matplotlib.image
import pytest
import torch
import yaml
from pytorch_lightning.loggers import TensorBoardLogger

from apot_lit.errors import UserError
from apot_lit.quant.convert import quant_layers
from apot_lit.training.classifier import QuantClassifier
from apot_lit.training.loggers import build_loggers, log_histogram
from tests.training.wandb_file import contents

TINY = ["model=resnet10", "model.width=2", "data.train_images=384", "data.val_split=100", "trainer.accelerator=cpu",
        "data.eval_batch_size=100", "trainer.limit_test_batches=1", "trainer.max_epochs=2"]  # fmt: skip
TAGS = {"recipe": "default", "model": "resnet10", "scheme": "APoT", "bit": "5", "seed": "0"}
STEPS = [3, 6, 6]  # the two validations, and the test of the best network


def needs(*packages):
    for package in packages:
        pytest.importorskip(package, reason=f"{package} is not installed")


def accumulated(directory):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory), size_guidance={"histograms": 0, "images": 0, "tensors": 0, "scalars": 0})
    events.Reload()
    return events


@pytest.mark.slow
def test_all_loggers_store_the_same_under_the_same_names(run_script, tmp_path):
    needs("tensorboard", "wandb", "mlflow", "sqlalchemy")
    outcome = run_script(
        "train.py",
        *TINY,
        "logger=[tensorboard,wandb,mlflow,csv]",
        f"logger.mlflow.tracking_uri=sqlite:///{tmp_path}/mlflow.db",
        f"logger.mlflow.artifact_location={(tmp_path / 'artifacts').as_uri()}",
        "callbacks.snapshots.each_validation=true",
        f"hydra.run.dir={tmp_path}/run",
    )
    assert outcome.code == 0, outcome.err
    result = json.loads((tmp_path / "run/result.json").read_text())

    with (tmp_path / "run/steps/version_0/metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    metrics = {
        name: [float(row[name]) for row in table if row[name]] for name in table[0] if name not in ("epoch", "step")
    }
    assert {"train/loss", "train/acc", "val/acc", "test/acc", "final/val_loss", "lr-SGD/weights"} <= metrics.keys()
    assert "alpha/layer1.0.conv1/weight" in metrics
    assert metrics["test/acc"] == pytest.approx([result["test_accuracy"]])
    names = {*result["clipping_thresholds"], "conv1", "fc"}
    histograms = {f"weights/{layer}/{when}" for layer in names for when in ("float", "quantised")}
    pictures = {"val/confusion": 2, "final/train_confusion": 1, "final/val_confusion": 1, "test/confusion": 1}

    options = yaml.safe_load((tmp_path / "run/steps/version_0/hparams.yaml").read_text())
    assert (options["quant.bit"], options["model.name"], options["quant.grad_scale"]) == (5, "resnet10", "null")

    check_tensorboard(tmp_path / "run/tensorboard/version_0", metrics, options, histograms, pictures)
    (path,) = (tmp_path / "run/wandb").glob("offline-run-*/*.wandb")
    check_wandb(path, metrics, options, histograms, pictures)
    check_mlflow(tmp_path, metrics, options, histograms, pictures)


def check_tensorboard(directory, metrics, options, histograms, pictures):
    events = accumulated(directory)
    tags = events.Tags()
    assert set(tags["scalars"]) - {"hp_metric", "epoch"} == metrics.keys()
    for name, values in metrics.items():
        assert [event.value for event in events.Scalars(name)] == pytest.approx(values, rel=1e-6)
    assert set(tags["histograms"]) == histograms
    for name in histograms:
        assert [event.step for event in events.Histograms(name)] == STEPS
    assert {name: len(events.Images(name)) for name in tags["images"]} == pictures
    assert {event.encoded_image_string[:4] for event in events.Images("test/confusion")} == {b"\x89PNG"}
    texts = {f"tags/{tag}/text_summary": value for tag, value in TAGS.items()}
    assert {name: events.Tensors(name)[0].tensor_proto.string_val[0].decode() for name in tags["tensors"]} == texts
    assert yaml.safe_load((directory / "hparams.yaml").read_text()) == options


def check_wandb(path, metrics, options, histograms, pictures):
    stored, tags, history = contents(path)
    assert {key: value for key, value in stored.items() if key != "_wandb"} == options
    assert sorted(tags) == sorted(f"{tag}:{value}" for tag, value in TAGS.items())
    for name, values in metrics.items():
        assert [items[name] for items in history if name in items] == pytest.approx(values, rel=1e-6)
    for name in histograms:
        found = [items for items in history if f"{name}|values" in items]
        assert [items["trainer/global_step"] for items in found] == STEPS
        assert {len(items[f"{name}|bins"]) - len(items[f"{name}|values"]) for items in found} == {1}
    for name, count in pictures.items():
        found = [json.dumps(items) for items in history if any(key.startswith(f"{name}|") for key in items)]
        assert len(found) == count
        assert all(".png" in items for items in found)


def check_mlflow(tmp_path, metrics, options, histograms, pictures):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("apot_lit").experiment_id])
    assert run.data.metrics.keys() - {"epoch"} == metrics.keys()
    for name, values in metrics.items():
        assert [one.value for one in client.get_metric_history(run.info.run_id, name)] == pytest.approx(values)
    assert run.data.params == {key: str(value)[:250] for key, value in options.items()}
    assert {tag: value for tag, value in run.data.tags.items() if not tag.startswith("mlflow.")} == TAGS
    assert run.info.status == "FINISHED"
    files = tmp_path / "artifacts" / run.info.run_id / "artifacts"
    found = {path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file()}
    of_pictures = {"val/confusion/3.png", *(f"{name}/6.png" for name in pictures)}
    assert found == {f"{name}/{step}.json" for name in histograms for step in set(STEPS)} | of_pictures
    table = json.loads((files / "weights/layer1.0.conv1/quantised/6.json").read_text())
    assert sum(table["bin_counts"]) == 2 * 2 * 3 * 3
    assert matplotlib.image.imread(files / "test/confusion/6.png").std() > 0


def test_pictures_come_at_the_end_alone_unless_asked_for(run_script, tmp_path):
    needs("tensorboard")
    outcome = run_script("train.py", *TINY, "logger=tensorboard", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.err
    events = accumulated(tmp_path / "tensorboard/version_0")
    assert set(events.Tags()["images"]) == {"final/train_confusion", "final/val_confusion", "test/confusion"}
    assert [event.step for event in events.Histograms("weights/fc/quantised")] == [6]
    network = QuantClassifier.load_from_checkpoint(tmp_path / "checkpoints/best.ckpt", map_location="cpu").network
    layer = dict(quant_layers(network))["layer4.0.conv1"]
    (event,) = events.Histograms("weights/layer4.0.conv1/quantised")
    values = layer.weight_quantizer(layer.weight).fake_quantized().detach()
    assert event.histogram_value.num == values.numel() == 16 * 8 * 9
    assert event.histogram_value.sum == pytest.approx(float(values.sum()), rel=1e-4, abs=1e-3)


def test_a_histogram_counts_every_value(tmp_path):
    needs("tensorboard")
    logger = TensorBoardLogger(tmp_path, name="", version="")
    log_histogram(logger, "levels", torch.tensor([[-1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), step=7)
    logger.finalize("success")
    (event,) = accumulated(tmp_path).Histograms("levels")
    counts = [count for count in event.histogram_value.bucket if count]
    assert event.step == 7
    assert counts == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "class_name", "package"),
    [
        ("tensorboard", "TensorBoardLogger", "tensorboard"),
        ("wandb", "WandbLogger", "wandb"),
        ("mlflow", "MLFlowLogger", "mlflow"),
        ("mlflow", "MLFlowLogger", "alembic"),
    ],
)
def test_a_logger_without_its_package_is_refused_in_one_line(monkeypatch, name, class_name, package):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "apot_lit.training.loggers.find_spec", lambda wanted: None if wanted == package else find_spec(wanted)
    )
    with pytest.raises(UserError) as refused:
        build_loggers({name: {"_target_": f"pytorch_lightning.loggers.{class_name}"}})
    assert str(refused.value) == f"logger.{name}: needs {package}; install apot-lit[loggers]"
