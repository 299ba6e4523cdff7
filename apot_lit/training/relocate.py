"""Checkpoints of a run whose directory was moved."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apot_lit.runs.files import replacing


def relocate(checkpoint: dict[str, Any], directory: Path, found: Path) -> None:
    """Lets the checkpoint callbacks of a run that was moved find its best checkpoint, in place.

    Args:
        checkpoint: what Lightning loaded.
        directory: where checkpoints are written from now on.
        found: the file it was loaded from; its best checkpoint lies beside it.
    """
    states = checkpoint.get("callbacks", {})
    for key in [key for key, state in states.items() if isinstance(state, Mapping) and state.get("best_model_path")]:
        state = states[key]
        best = directory / Path(state["best_model_path"]).name
        beside = found.parent / best.name
        if not best.exists() and beside.exists():
            directory.mkdir(parents=True, exist_ok=True)
            with beside.open("rb") as source, replacing(best) as copy:
                shutil.copyfileobj(source, copy)
        if best.exists():
            paths = {"dirpath": str(directory), "best_model_path": str(best), "kth_best_model_path": str(best)}
            scores = dict.fromkeys([str(best)], state["best_model_score"])
            states[key] = {**state, **paths, "best_k_models": scores}
        else:
            print(f"{found}: its best checkpoint {beside} is not there; the best of the remaining epochs counts")
            del states[key]
