"""What the jobs of a multirun do, read from their directories while they run, whichever launcher runs them."""

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apot_lit.runs.contents import NotUsable, read_result
from apot_lit.runs.log import RUN_LOG
from apot_lit.runs.result import RESULT_FILE
from apot_lit.runs.text import counted, duration, percent
from apot_lit.sweep.estimate import last_progress, seconds_left
from apot_lit.sweep.failure import failure
from apot_lit.sweep.job import Job

_POLL_SECONDS = 0.5
_LINE_SECONDS = 60.0  # the longest silence


class Watch:
    """Tells of every job that ends, and of the time left.

    A job is done when its result is there, has failed when its error is, and runs when its log grows.

    Args:
        jobs: all jobs of the multirun.
        shows_running: whether to say every minute what jobs do; not where they print it themselves.
    """

    def __init__(self, jobs: Sequence[Job], shows_running: bool) -> None:
        self.jobs = {job.name: job for job in jobs}
        self.shows_running = shows_running
        self.done = {name: self._result(job) for name, job in self.jobs.items() if self._ended(job)}
        self.failed: dict[str, str] = {}
        self.began: dict[str, float] = {}
        self.around: list[float] = []
        """Seconds of each job of this call before and after its training: start, test, result."""
        self._logs = {name: self._log_size(job) for name, job in self.jobs.items()}
        self._said = time.monotonic()
        self._side_by_side = 1
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Tells of what has ended by now, and looks no more."""
        self._over.set()
        self._thread.join()
        self.look()

    def look(self) -> None:
        """Looks once at every job that has not ended."""
        for name, job in self.jobs.items():
            if name in self.failed:
                continue
            reason = failure(job.directory)
            if reason is not None:
                self.failed[name] = reason
                self.done.pop(name, None)
                self._say(f"{name}: failed: {reason}")
            elif name not in self.done and self._ended(job):
                result = self.done[name] = self._result(job)
                if result is not None:
                    elapsed = time.monotonic() - self.began.get(name, time.monotonic())
                    self.around.append(max(0.0, elapsed - result["wall_seconds"]))  # one may have begun in another call
                    self._say(
                        f"{name}: {percent(result.get('test_accuracy'))} test, {duration(result['wall_seconds'])}"
                    )
            elif name not in self.done and name not in self.began and self._log_size(job) > self._logs[name]:
                self.began[name] = time.monotonic()
        if self.shows_running and time.monotonic() - self._said > _LINE_SECONDS:
            self._say("running", *(f"{job.name}: {last_progress(job.directory / RUN_LOG)}" for job in self._running()))

    def _run(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            self.look()

    def _running(self) -> list[Job]:
        running = [job for name, job in self.jobs.items() if name in self.began and not self._is_over(name)]
        self._side_by_side = max(self._side_by_side, len(running))
        return running

    def _is_over(self, name: str) -> bool:
        return name in self.done or name in self.failed

    def _say(self, what: str, *further: str) -> None:
        ended = len(self.done) + len(self.failed)
        lines = [f"[{ended}/{len(self.jobs)}] {what}{self._left()}", *further]
        print(*lines, sep="\n  ", file=sys.__stdout__, flush=True)  # not into the log of a job of this process
        self._said = time.monotonic()

    def _left(self) -> str:
        """The time left, as far as it can be known, and for how many jobs."""
        running = self._running()
        waiting = [job for name, job in self.jobs.items() if name not in self.began and not self._is_over(name)]
        jobs = len(running) + len(waiting)
        done = [(self.jobs[name].model, result["wall_seconds"]) for name, result in self.done.items() if result]
        since = [(job, time.monotonic() - self.began[job.name]) for job in running]
        seconds = seconds_left(since, waiting, done, self.around) if jobs else None
        if seconds is None:
            return ""
        return f"; about {duration(seconds / min(self._side_by_side, jobs))} left for {counted(jobs, 'job')}"

    @staticmethod
    def _ended(job: Job) -> bool:
        return (job.directory / RESULT_FILE).exists()

    @staticmethod
    def _result(job: Job) -> dict[str, Any] | None:
        """What a job wrote; None where the job will say what is wrong with it."""
        try:
            return read_result(job.directory / RESULT_FILE)
        except NotUsable:
            return None

    @staticmethod
    def _log_size(job: Job) -> int:
        path: Path = job.directory / RUN_LOG
        return path.stat().st_size if path.exists() else 0
