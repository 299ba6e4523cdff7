"""The compiled library: whose it is, whether it is whole, and what happens where it can't be built."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apot_lit.quant.cpu import library
from apot_lit.quant.cpu.library import build, private_directory
from tests.conftest import ROOT

USE = "import torch; from apot_lit.quant.cpu import native; print(native.load() is not None)"


@pytest.fixture(autouse=True)
def way():
    """Not each way of quantising in turn, as elsewhere in this package."""


@pytest.fixture(autouse=True)
def afresh():
    private_directory.cache_clear()
    yield
    private_directory.cache_clear()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/apot_lit"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A directory with a library."""
    directory = tmp_path_factory.mktemp("built")
    if build(directory) is None:
        pytest.skip("no C compiler here")
    return directory


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Makes a compiler of lines of shell."""

    def make(script):
        path = tmp_path / "compiler"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("CC", str(path))

    return make


def mode(path):
    return path.stat().st_mode & 0o777


def test_the_directory_is_made_for_this_user_alone(cache):
    mask = os.umask(0)
    try:
        assert private_directory() == cache
    finally:
        os.umask(mask)
    assert mode(cache) == 0o700


@pytest.mark.parametrize("permissions", [0o777, 0o770, 0o702])
def test_one_that_others_can_write_to_is_not_used(cache, permissions):
    cache.mkdir(parents=True)
    cache.chmod(permissions)
    directory = private_directory()
    assert directory != cache
    assert mode(directory) == 0o700


def test_one_of_another_user_is_not_used(cache, monkeypatch):
    cache.mkdir(parents=True, mode=0o755)
    monkeypatch.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)
    assert private_directory() != cache


def test_a_link_is_not_used(cache, tmp_path):
    cache.parent.mkdir()
    cache.symlink_to(tmp_path)
    assert private_directory() != cache


def test_a_cache_that_can_not_be_made_is_no_error(cache):
    cache.parent.write_text("")
    assert mode(private_directory()) == 0o700


def test_without_any_directory_there_is_no_library(cache, monkeypatch):
    cache.parent.write_text("")
    monkeypatch.setattr(library.tempfile, "tempdir", str(cache))
    assert private_directory() is None


@pytest.mark.slow
def test_a_planted_library_is_not_loaded(cache, built):
    """In a directory that others can write to, one that would end the process as it is loaded."""
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    source = cache / "planted.c"
    source.write_text("#include <stdlib.h>\n__attribute__((constructor)) static void run(void) { _Exit(66); }\n")
    name = next(built.glob("*.so")).name.split("-")[1]
    for options in (library.THREADS, ()):
        build(built, *options)
    for target in built.glob("*.so"):
        subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(cache / target.name)], check=True)
        (cache / f"native-{name}.so").write_bytes((cache / target.name).read_bytes())
    done = subprocess.run([sys.executable, "-c", USE], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.parametrize("damage", ["truncated", "empty", "other content"])
def test_a_damaged_library_is_built_again(built, damage):
    first = build(built)
    whole = first.read_bytes()
    first.unlink()  # not in place: it may be loaded
    first.write_bytes({"truncated": whole[:14000], "empty": b"", "other content": whole[:-1] + b"?"}[damage])
    again = build(built)
    assert again.read_bytes() == whole
    assert list(built.glob(f"{again.name[:20]}*")) == [again]


def test_the_library_is_built_once(built):
    first = build(built)
    made = first.stat().st_mtime_ns
    assert build(built) == first
    assert first.stat().st_mtime_ns == made
    assert all(path.suffix == ".so" for path in built.iterdir())
    assert build(built, "-DOTHER") != first


@pytest.mark.parametrize("program", ["no-such-compiler", "false"])
def test_without_a_compiler_nothing_is_built(tmp_path, monkeypatch, program):
    monkeypatch.setenv("CC", program)
    assert build(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    assert build(tmp_path / "file/cache") is None


def test_a_compiler_that_hangs_is_stopped_with_all_it_started(tmp_path, compiler, monkeypatch):
    monkeypatch.setattr(library, "COMPILER_SECONDS", 0.5)
    compiler(f"sleep 60 & echo $! > {tmp_path}/child; wait")
    (tmp_path / "kept").mkdir()
    started = time.monotonic()
    assert build(tmp_path / "kept") is None
    assert time.monotonic() - started < 10
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    process = Path(f"/proc/{child}/stat")
    while process.exists() and process.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not list((tmp_path / "kept").iterdir())


@pytest.mark.slow
def test_a_library_without_the_functions_is_no_error(tmp_path, compiler):
    compiler('echo "int nothing;" > x.c; for last; do case $last in *.o|*.so) out=$last;; esac; done; '
             'exec cc -shared -fPIC x.c -o "$out"')  # fmt: skip
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
