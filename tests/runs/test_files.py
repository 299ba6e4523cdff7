"""Files are replaced whole or not at all: by an error, a full disk and a kill, and whatever TMPDIR is."""

import os
import resource
import signal
import tempfile
from contextlib import contextmanager

import pytest
import torch

from apot_lit.runs.files import partial_of, replacing, write_text
from apot_lit.training.checkpoint_io import AtomicCheckpointIO


@pytest.fixture
def full_disk():
    """Lets every write beyond 100,000 bytes of a file fail while it is entered."""

    @contextmanager
    def full():
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return full


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "run" / "last.ckpt"
    path.parent.mkdir()
    path.write_text("old")
    return path


def test_an_error_leaves_the_old_file_and_nothing_beside_it(old):
    def fail():
        with replacing(old) as file:
            file.write(b"half")
            raise OSError(28, "the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert old.read_text() == "old"
    assert list(old.parent.iterdir()) == [old]


@pytest.mark.parametrize("written", [b"", b"half", b"x" * 10**6])
def test_a_kill_leaves_the_old_file_and_the_next_write_clears_up(old, written):
    child = os.fork()
    if child == 0:
        with replacing(old) as file:
            file.write(written)
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert old.read_text() == "old"
    assert set(old.parent.iterdir()) == {old, partial_of(old)}
    write_text(old, "new")
    assert old.read_text() == "new"
    assert list(old.parent.iterdir()) == [old]


def test_nothing_is_written_to_the_directory_for_temporary_files(old, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    with replacing(old) as file:
        assert file.name == str(partial_of(old))
        assert partial_of(old).parent == old.parent  # so that the last step is a rename within one file system
        assert list(elsewhere.iterdir()) == []


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_the_one_before(tmp_path, full_disk):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"weight": torch.ones(100)}}, path)
    before = path.read_bytes()
    with full_disk(), pytest.raises((OSError, RuntimeError)):  # torch tells of a failed write by the latter
        AtomicCheckpointIO().save_checkpoint({"state_dict": {"weight": torch.ones(10**6)}}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
