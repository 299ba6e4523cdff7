"""The weights that a training starts from: those of its own checkpoint, of another network, or new ones."""

from typing import Any

from apot_lit.runs.checkpoint import load_checkpoint, load_network, network_state
from apot_lit.stored.trained import read_weights
from apot_lit.training.classifier import QuantClassifier


def load_start(classifier: QuantClassifier, config: dict[str, Any]) -> None:
    """Loads the weights to start from, before anything else is done.

    Args:
        classifier: gets the weights that ``ckpt_path``, or else ``init_from``, names.
        config: plain, resolved configuration with the keys of `apot_lit.config.schemas.TrainConfig`.

    Raises:
        UserError: for a file that can't be read or does not fit.
    """
    if config["ckpt_path"] is not None:
        state = network_state(load_checkpoint(config["ckpt_path"]))
        load_network(classifier.network, state, f"ckpt_path={config['ckpt_path']}")
    elif config["init_from"] is not None:
        where = f"init_from={config['init_from']}"
        load_network(classifier.network, read_weights(config["init_from"], "init_from"), where, allow_alphas=True)
