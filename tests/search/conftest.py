"""Searches in this process whose trainings are made up: accuracy is a function of the bits."""

import json

import pytest

from apot_lit.search.stopping import FarBehind

TINY = [
    *("model=resnet10", "model.width=2", "trainer.max_epochs=3", "trainer.threads=1", "trainer.accelerator=cpu"),
    *("search.groups=stages", "search.trials=6"),
]


@pytest.fixture
def search(run_script, tmp_path, monkeypatch):
    """Calls search.py with `made_up` in place of a training, or with another function of configuration and bars."""
    pytest.importorskip("optuna", reason="needs the extra search")

    def run(*arguments, train=None, directory="search", tiny=TINY):
        monkeypatch.setattr("apot_lit.search.conduct.run_trial", train or made_up)
        return run_script("search.py", *tiny, f"hydra.run.dir={tmp_path}/{directory}", *arguments)

    return run


def made_up(config, needed):
    """More bits are better, those of the last stage most; the curve rises to that."""
    bits = {pattern: options["bit"] for pattern, options in config["quant"]["overrides"].items()}
    accuracy = 0.9 + 0.001 * sum(bits.values()) + 0.004 * bits.get("layer4.*", 0)
    curve = [accuracy - 0.02, accuracy - 0.01, accuracy]
    for epoch, (reached, bar) in enumerate(zip(curve[:-1], needed or [], strict=False), 1):
        if reached < bar:
            raise FarBehind(epoch, reached, bar)
    return {"val_accuracy": accuracy, "epochs": len(curve), "history": {"val/acc": curve}}


def front(directory):
    return json.loads((directory / "front.json").read_text())
