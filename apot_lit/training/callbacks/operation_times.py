"""Where the time of a training step goes."""

import os
from typing import Any

import pytorch_lightning as pl
from torch.autograd.profiler_util import EventList, FunctionEventAvg
from torch.profiler import ProfilerActivity, profile, schedule, supported_activities

from apot_lit.quant.ranges import Integer, check
from apot_lit.runs.text import counted, percent, text_table

_BACKWARD = "autograd::engine::evaluate_function: "
_WHOLE_STEP = "ProfilerStep*"
_NAME_WIDTH = 50


class OperationTimes(pl.Callback):
    """Prints the costliest operations of a training step, by the time in the operation itself, at the end.

    Times are those of the GPU if there is one, else of the CPU; being measured makes small operations look slower.

    Args:
        skip: steps before the first one that is measured, of which the first compile, tune and allocate.
        steps: how many are measured.
        rows: how many operations are shown.

    Raises:
        ValueError: for counts out of range.
    """

    def __init__(self, skip: int = 10, steps: int = 20, rows: int = 10) -> None:
        check("skip", skip, Integer(1))
        check("steps", steps, Integer(1))
        check("rows", rows, Integer(1))
        self.skip, self.steps, self.rows = skip, steps, rows
        self._profile: profile | None = None
        self._events: EventList | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts, on the first process."""
        if not trainer.is_global_zero:
            return
        os.environ.setdefault("KINETO_LOG_LEVEL", "7")  # else it reports on itself, and that there is no GPU
        kinds = {ProfilerActivity.CPU}
        if pl_module.device.type == "cuda":
            kinds.add(ProfilerActivity.CUDA)
        plan = schedule(wait=self.skip - 1, warmup=1, active=self.steps, repeat=1)
        self._profile = profile(activities=kinds & supported_activities(), schedule=plan, on_trace_ready=self._keep)
        self._profile.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Goes on to the next step."""
        if self._profile is not None:
            self._profile.step()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the table."""
        if self._profile is None:
            return
        self._profile.stop()
        self._profile = None
        if not self._events:
            print(f"no step was measured: the training was not longer than the {self.skip} that are left out")
            return
        print(f"\n{self._table(pl_module.device.type == 'cuda')}\n")

    def _keep(self, measured: profile) -> None:
        self._events = measured.key_averages()

    def _table(self, on_gpu: bool) -> str:
        assert self._events is not None
        measured = next((event.count for event in self._events if event.key == _WHOLE_STEP), self.steps)

        def seconds(event: FunctionEventAvg) -> float:
            return float(event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1e6

        total = sum(map(seconds, self._events))
        costliest = sorted(self._events, key=seconds, reverse=True)[: self.rows]
        rows = [
            [
                _name(event.key),
                percent(seconds(event) / total if total else 0),
                f"{1e3 * seconds(event) / measured:.2f}",
                f"{event.count / measured:.1f}",
            ]
            for event in costliest
        ]
        where = "GPU" if on_gpu else "CPU"
        title = (
            f"costliest operations of {counted(measured, 'step')} on the {where}, {1e3 * total / measured:.1f} ms each"
        )
        return f"{title}\n{text_table(rows, ['operation', 'share', 'ms per step', 'calls per step'])}"


def _name(key: str) -> str:
    """An operation's name in few characters."""
    if key == _WHOLE_STEP:
        return "Python between operations"
    name = key.removeprefix(_BACKWARD)
    return name if len(name) <= _NAME_WIDTH else f"{name[: _NAME_WIDTH - 3]}..."
