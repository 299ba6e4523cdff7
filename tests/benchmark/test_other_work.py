"""The share of other work: against texts written by hand, and this machine's own."""

from pathlib import Path

import pytest

import apot_lit.benchmark.other_work as other_work_module
from apot_lit.benchmark.other_work import Moment, Ticks, now, other_work, parse_stat

#           user nice system idle iowait irq softirq steal guest guest_nice
BEFORE = """cpu  1000 100 200 5000 300 10 20 30 7 8
cpu0 500 50 100 2500 150 5 10 15 3 4
intr 12345
"""
AFTER = """cpu  1300 120 250 5500 310 15 25 40 9 9
cpu0 600 50 100 2500 150 5 10 15 3 4
"""


def moment(text, own_seconds):
    return Moment(parse_stat(text), own_seconds)


def test_a_text_is_read_without_guests_and_single_processors():
    assert parse_stat(BEFORE) == Ticks(busy=1360, total=6660)
    assert parse_stat(f"intr 1\n\n{AFTER}") == Ticks(busy=1750, total=7560)


@pytest.mark.parametrize("text", ["", "cpu0 1 2 3 4 5 6 7 8\n", "cpu 1 2 3\n"])
def test_without_the_line_nothing_is_read(text):
    with pytest.raises(ValueError, match="no line of all processors"):
        parse_stat(text)


def test_the_share_is_what_is_busy_and_not_our_own():
    """Of 900 ticks 390 were busy; 3 seconds of 100 ticks were ours, so 90 of 900 were not."""
    assert other_work(moment(BEFORE, 2.0), moment(AFTER, 5.0), 100) == pytest.approx(0.1)
    assert other_work(moment(BEFORE, 2.0), moment(AFTER, 2.0), 100) == pytest.approx(390 / 900)
    assert other_work(moment(BEFORE, 2.0), moment(AFTER, 6.0), 100) == 0.0  # our clock ran ahead


def test_what_the_system_does_not_tell_is_none():
    assert other_work(Moment(None, 1.0), moment(AFTER, 2.0), 100) is None
    assert other_work(moment(BEFORE, 1.0), Moment(None, 2.0), 100) is None
    assert other_work(moment(BEFORE, 1.0), moment(BEFORE, 2.0), 100) is None


def test_a_system_without_the_file_tells_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(other_work_module, "_STAT", tmp_path / "stat")
    assert now().ticks is None
    (tmp_path / "stat").write_text(BEFORE)
    assert now().ticks == Ticks(busy=1360, total=6660)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs /proc/stat")
def test_this_machine_tells_whole_ticks():
    before = now()
    assert 0 < before.ticks.busy <= before.ticks.total
    assert before.own_seconds >= 0
