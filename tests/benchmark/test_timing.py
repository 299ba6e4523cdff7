"""Repeats are interleaved, ratios are taken within a repeat, the clock is the one given."""

import pytest

from apot_lit.benchmark.timing import MAX_CALLS, Timer, ratio, summary


class FakeMachine:
    """A clock that only moves when a function runs, each for as long as it is told."""

    def __init__(self, **seconds):
        self.now = 0.0
        self.log = []
        self.functions = {name: lambda name=name, took=took: self._run(name, took) for name, took in seconds.items()}

    def _run(self, name, took):
        self.log.append(name)
        self.now += took() if callable(took) else took

    def clock(self):
        return self.now


def test_functions_run_in_turns_after_warming_up():
    machine = FakeMachine(a=1.0, b=2.0, c=3.0)
    times = Timer(repeats=3, warmup=2, clock=machine.clock).interleaved(machine.functions)
    assert "".join(machine.log) == "aaabbbccc" + "abc" * 3
    assert times == {"a": [1000.0] * 3, "b": [2000.0] * 3, "c": [3000.0] * 3}


def test_fast_functions_are_called_several_times():
    machine = FakeMachine(fast=2.0**-8, slow=1.0)
    times = Timer(repeats=2, warmup=0, min_seconds=2.0**-6, clock=machine.clock).interleaved(machine.functions)
    assert machine.log == ["fast", "slow"] + (["fast"] * 4 + ["slow"]) * 2
    assert times == {"fast": [1000 * 2.0**-8] * 2, "slow": [1000.0] * 2}


def test_a_clock_that_does_not_move_ends():
    machine = FakeMachine(still=0.0)
    Timer(repeats=1, warmup=0, clock=machine.clock).interleaved(machine.functions)
    assert len(machine.log) == MAX_CALLS + 1


def test_waiting_for_the_device_is_timed():
    machine = FakeMachine(a=1.0)
    waits = iter([0.0, 4.0, 100.0, 8.0])  # at both ends of the trial call, then of the one repeat

    def synchronize():
        machine.now += next(waits)

    times = Timer(repeats=1, warmup=0, synchronize=synchronize, clock=machine.clock).interleaved(machine.functions)
    assert times == {"a": [9000.0]}


def test_a_machine_that_slows_down_changes_no_ratio():
    load = iter([1, 1, 1, 10, 100])
    current = {"load": 1}

    def base():
        current["load"] = next(load)
        return current["load"] * 1.0

    machine = FakeMachine(base=base, other=lambda: current["load"] * 1.5)
    times = Timer(repeats=3, warmup=1, clock=machine.clock).interleaved(machine.functions)
    assert times["base"] == pytest.approx([1000.0, 10_000.0, 100_000.0])
    assert ratio(times["other"], times["base"]) == pytest.approx({"median": 1.5, "q1": 1.5, "q3": 1.5})


def test_summary_is_median_and_quartiles():
    assert summary([7.0]) == {"median": 7.0, "q1": 7.0, "q3": 7.0}
    assert summary([1.0, 2.0, 3.0, 4.0]) == {"median": 2.5, "q1": 1.75, "q3": 3.25}


def test_the_median_of_ratios_is_not_the_ratio_of_medians():
    times, base = [1.0, 8.0, 30.0], [1.0, 2.0, 10.0]
    assert ratio(times, base)["median"] == 3.0


def test_every_repeat_needs_its_base():
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])
