"""One trial as an ordinary run in a directory of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from apot_lit.config.instantiate import build_all
from apot_lit.search.stopping import StopFarBehind
from apot_lit.sweep.job import finished, half_done
from apot_lit.training.fit import train
from apot_lit.training.loggers import build_loggers


def run_trial(config: Mapping[str, Any], needed: Sequence[float] | None) -> dict[str, Any]:
    """Trains, or goes on with what was interrupted, or reads what is done.

    Args:
        config: plain, resolved configuration of the run.
        needed: what it must reach after each epoch, see `apot_lit.search.stopping.bars`; None: nothing.

    Returns:
        The content of its ``result.json``.

    Raises:
        FarBehind: if it did not reach it.
        UserError, Interrupted: see `apot_lit.training.fit.train`.
    """
    done = finished(config)
    if done is not None:
        return done
    callbacks = build_all(config["callbacks"], "callbacks")
    if needed is not None:
        callbacks.append(StopFarBehind(needed))
    return train({**config, "ckpt_path": half_done(config)}, callbacks, build_loggers(config["logger"]))
