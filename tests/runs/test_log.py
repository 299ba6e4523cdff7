"""The log of a script: what was printed, with the time, and nothing else."""

import io
import logging
import re
import sys
import warnings

import pytest

from apot_lit.errors import Interrupted, UserError
from apot_lit.runs.log import recording

CONFIG = {"seed": 3, "quant": {"bit": 4, "act_bit": None}, "callbacks": {}}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Runs a function while it is recorded; returns the lines of the log without their times, and what was shown."""

    def run(function, expected=None):
        shown = Terminal()
        monkeypatch.setattr(logging.getLogger(), "handlers", [])  # other tests leave some behind
        monkeypatch.setattr(sys, "stdout", shown)
        monkeypatch.setattr(sys, "stderr", shown)
        path = tmp_path / "run" / "train.log"
        if expected is None:
            with recording(path, CONFIG):
                function()
        else:
            with pytest.raises(expected), recording(path, CONFIG):
                function()
        assert sys.stdout is shown
        assert sys.stderr is shown
        lines = path.read_text().splitlines()
        assert all(not line or re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)
        return [line[20:] for line in lines], shown.getvalue()

    return run


def test_it_begins_with_command_versions_and_every_option(log):
    lines, shown = log(lambda: None)
    assert lines[0].startswith("command: ")
    assert re.match(r"versions: python 3\.\d+\.\d+, torch \d", lines[1])
    assert lines[2:] == ["    seed=3", "    quant.bit=4", "    quant.act_bit=null", "    callbacks={}"]
    assert shown == ""


def test_lines_are_shown_and_written_as_they_end(log):
    def say():
        print("one\ntwo")
        print("th", end="")
        print("ree", file=sys.stdout)
        print("error", file=sys.stderr)
        print("no end", end="")

    lines, shown = log(say)
    assert lines[6:] == ["one", "two", "three", "error", "no end"]
    assert shown == "one\ntwo\nthree\nerror\nno end"


def test_of_a_bar_only_the_last_state_is_written(log):
    def progress():
        for share in range(0, 101, 10):
            sys.stderr.write(f"\rbar {share} %")
        sys.stderr.write("\n")
        assert sys.stderr.isatty()

    lines, shown = log(progress)
    assert lines[6:] == ["bar 100 %"]
    assert shown.count("bar") == 11


def test_warnings_are_one_line_and_messages_of_packages_are_written(log):
    def warn():
        # What Python does with a warning that is shown, and pytest keeps for itself.
        sys.stderr.write(warnings.formatwarning("of two\n  lines", UserWarning, "file.py", 1))
        logging.getLogger("somebody").warning("said %d", 7)

    lines, shown = log(warn)
    assert lines[6:] == ["warning: of two lines", "somebody: said 7"]
    assert "warning: of two lines\n" in shown


def test_what_ends_the_block_is_written(log):
    def fail():
        raise UserError("quant.bit=9: no")

    def stop(said=None):
        def stopped():
            raise KeyboardInterrupt if said is None else Interrupted(said)

        return stopped

    assert log(fail, UserError)[0][6:] == ["error: quant.bit=9: no"]
    assert log(stop("interrupted; to go on: x"), Interrupted)[0][-1] == "error: interrupted; to go on: x"
    assert log(stop(), KeyboardInterrupt)[0][-2:] == ["    callbacks={}", "error: interrupted"]
    lines, _ = log(lambda: 1 / 0, ZeroDivisionError)
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "Traceback (most recent call last):" in lines


def test_a_second_recording_goes_on_and_a_kept_stream_outlives_the_first(log):
    kept = []
    log(lambda: kept.append(sys.stdout))
    lines, shown = log(lambda: print("again"))
    assert sum(line.startswith("command: ") for line in lines) == 2
    kept[0].write("afterwards\n")
    assert "afterwards" in sys.stdout.getvalue()
    assert lines[-1] == "again"
    assert shown == "again\n"
