"""Many trainings, one after the other or side by side, that can be stopped and started again at any time."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import IO, Any

from apot_lit.config.overrides import override
from apot_lit.errors import Interrupted, UserError
from apot_lit.quant.spec import QuantSpec
from apot_lit.runs.lock import exclusive
from apot_lit.runs.summary import SUMMARY_FILE, Run, summarise
from apot_lit.runs.text import counted, duration, percent
from apot_lit.sweep.estimate import last_progress, seconds_left
from apot_lit.sweep.plan import Job, plan

LOG_FILE = "sweep.log"
LOCK_FILE = ".sweep.lock"
_SWEPT = ("model", "model.name", "quant.bit", "quant.power", "seed")
_POLL_SECONDS = 0.2
_LINE_SECONDS = 60.0  # the longest silence


def run_sweep(config: dict[str, Any], overrides: list[str]) -> list[dict[str, Any]]:
    """Runs every job of a sweep that has not been run yet, each in a process of its own.

    Args:
        config: plain, resolved configuration of train.py with a section ``sweep``.
        overrides: the command line's, which every job gets as well.

    Returns:
        The results of all jobs, also of those that earlier calls ran.

    Raises:
        UserError: for options that cannot work, and at the end if jobs failed.
        Interrupted: after Ctrl-C or a termination signal, once all jobs have stopped.
    """
    sweep = config["sweep"]
    _check(sweep, overrides)
    root = Path(config["paths"]["output_dir"])
    jobs = plan(config, root)
    with exclusive(root, LOCK_FILE, f"{root}: another sweep is running there") as lock:
        runner = _Runner(jobs, sweep["jobs"], _passed_on(overrides), lock)
        done = len(runner.results)
        print(
            f"sweep {sweep['name']}: {counted(len(jobs), 'job')}, {done} of them done already; below {root}", flush=True
        )
        results, failed = runner.run()
    finished = [Run(job.directory, results[job.name]) for job in jobs if job.name in results]
    if finished:
        print(f"{summarise(finished, root)}\nwritten: {root / SUMMARY_FILE}")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(jobs)} jobs failed: {', '.join(failed)}; see {LOG_FILE} in the directory of each; "
            f"the first: {next(iter(failed.values()))}"
        )
    return [results[job.name] for job in jobs if job.name in results]


class _Runner:
    """Keeps a number of jobs running until none is waiting."""

    def __init__(self, jobs: list[Job], side_by_side: int, overrides: list[str], lock: IO[str]) -> None:
        self.total, self.side_by_side, self.overrides, self.lock = len(jobs), side_by_side, overrides, lock
        self.running: list[tuple[Job, subprocess.Popen[bytes]]] = []
        self.waiting: list[Job] = []
        self.results: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, str] = {}
        self.said = time.monotonic()
        self.began: dict[str, float] = {}
        self.around: list[float] = []
        """Seconds of each job of this call before and after its training: start, test, result."""
        for job in jobs:
            result = self._result(job)
            if result is not None:
                self.results[job.name] = result
            elif job.name not in self.failed:
                self.waiting.append(job)

    def run(self) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Runs all jobs; returns the results, and why the others failed, by name."""
        # SIGINT as well: shells start background commands with it ignored, and jobs would inherit that.
        before = {number: signal.signal(number, _as_keyboard_interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while self.waiting or self.running:
                while self.waiting and len(self.running) < self.side_by_side:
                    self._start(self.waiting.pop(0))
                time.sleep(_POLL_SECONDS)
                if time.monotonic() - self.said > _LINE_SECONDS:
                    self._say("running", *(self._progress(job) for job, _ in self.running))
                for job, process in [(job, process) for job, process in self.running if process.poll() is not None]:
                    self.running.remove((job, process))
                    self._finish(job, process.returncode)
        except KeyboardInterrupt as interruption:
            self._stop()
            done = f"{len(self.results)} of {self.total} jobs are done"
            raise Interrupted(f"interrupted: {done}; the same command goes on from here") from interruption
        except Exception:
            self._stop()  # none may run on behind an error
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return self.results, self.failed

    def _start(self, job: Job) -> None:
        job.directory.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, sys.argv[0], *self.overrides, *_job_overrides(job)]
        environment = dict(os.environ)
        environment.pop("HYDRA_FULL_ERROR", None)  # cli.run sets it for this process
        if self.side_by_side > 1 and job.config["trainer"]["threads"] is None:
            threads = max(1, (os.cpu_count() or 1) // self.side_by_side)
            command.append(f"trainer.threads={threads}")
            environment["OMP_NUM_THREADS"] = str(threads)
        with (job.directory / LOG_FILE).open("a") as log:
            print("$", shlex.join(command), file=log, flush=True)
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # so that Ctrl-C reaches it once, from here
                pass_fds=(self.lock.fileno(),),  # so that the lock lasts as long as the job
            )
        self.running.append((job, process))
        self.began[job.name] = time.monotonic()

    def _stop(self) -> None:
        for _, process in self.running:
            process.send_signal(signal.SIGINT)  # each writes what it must and stops
        for _, process in self.running:
            process.wait()

    def _result(self, job: Job) -> dict[str, Any] | None:
        """What a job left behind; one that can't be used is a failure of this job alone."""
        try:
            return job.result()
        except UserError as error:
            self.failed[job.name] = str(error)
            print(f"{job.name}: {error}", flush=True)
            return None

    def _finish(self, job: Job, status: int) -> None:
        result = self._result(job) if status == 0 else None
        if result is None:
            last_line = ((job.directory / LOG_FILE).read_text().strip().splitlines() or [""])[-1]
            said = f"failed: {self.failed.setdefault(job.name, last_line)}"
        else:
            self.results[job.name] = result
            elapsed = time.monotonic() - self.began[job.name]
            self.around.append(max(0.0, elapsed - result["wall_seconds"]))  # a resumed one trained in an earlier call
            said = f"{percent(result.get('test_accuracy'))} test, {duration(result['wall_seconds'])}"
        self._say(f"{job.name}: {said}")

    def _say(self, what: str, *further: str) -> None:
        done = len(self.results) + len(self.failed)
        print(f"[{done}/{self.total}] {what}{self._left()}", *further, sep="\n  ", flush=True)
        self.said = time.monotonic()

    def _left(self) -> str:
        """The time left, as far as it can be known, and for how many jobs."""
        jobs = len(self.running) + len(self.waiting)
        done = [(result["config"]["model"]["name"], result["wall_seconds"]) for result in self.results.values()]
        running = [(job, time.monotonic() - self.began[job.name]) for job, _ in self.running]
        seconds = seconds_left(running, self.waiting, done, self.around) if jobs else None
        if seconds is None:
            return ""
        return f"; about {duration(seconds / min(self.side_by_side, jobs))} left for {counted(jobs, 'job')}"

    @staticmethod
    def _progress(job: Job) -> str:
        return f"{job.name}: {last_progress(job.directory / LOG_FILE)}"


def _check(sweep: Mapping[str, Any], overrides: list[str]) -> None:
    for bit, power in product(sweep["bits"], sweep["powers"]):
        try:
            QuantSpec(bit=bit, power=power)
        except ValueError as error:
            raise UserError(f"sweep: quant.{error}") from error
    for given in overrides:
        key = given.lstrip("+~").partition("=")[0]
        if key in _SWEPT:
            plural = {"model": "models", "model.name": "models", "quant.bit": "bits", "quant.power": "powers"}
            raise UserError(
                f"{given}: a sweep chooses this itself; narrow it with sweep.{plural.get(key, 'seeds')}=[...]"
            )
        if key == "ckpt_path":
            raise UserError(f"{given}: a sweep resumes its jobs by itself")


def _passed_on(overrides: list[str]) -> list[str]:
    return [given for given in overrides if not given.startswith("sweep.jobs=")]


def _job_overrides(job: Job) -> list[str]:
    config, checkpoint = job.config, job.checkpoint()
    return [
        f"sweep.job={job.name}",
        f"model.name={config['model']['name']}",
        f"quant.bit={config['quant']['bit']}",
        f"quant.power={config['quant']['power']}",
        f"seed={config['seed']}",
        override("hydra.run.dir", job.directory),
        *([] if checkpoint is None else [override("ckpt_path", checkpoint)]),
    ]


def _as_keyboard_interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
