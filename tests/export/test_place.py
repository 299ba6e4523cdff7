"""Where exports are put: only earlier exports are replaced, whole, and a kill at any moment loses none."""

import io
import os
from functools import cache, partial
from pathlib import Path

import pytest

from apot_lit.errors import UserError
from apot_lit.export.c_source import C_FILES, write_c
from apot_lit.export.onnx_model import build_onnx
from apot_lit.export.place import placing, refuse_occupied
from apot_lit.integer import to_integers
from apot_lit.stored.packed import save_packed
from tests.export.conftest import digits, trained


@cache
def small_network():
    network = trained(3, 1, width=4, steps=0)
    return network, to_integers(network, digits("train")[0][:50])


def write(kind, path, title="old"):
    network, integers = small_network()
    if kind == "c":
        write_c(integers, title, path)
    elif kind == "onnx":
        path.write_bytes(build_onnx(integers, {"title": title}).SerializeToString())
    else:
        save_packed(network, integers, {"title": title}, path)


def place(target, make):
    with placing(target) as scratch:
        make(scratch)


def content(path):
    """What a file or directory holds, as a snapshot that can be compared."""
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["onnx", "packed", "c"])
def test_an_earlier_export_may_be_replaced_if_that_is_asked_for(tmp_path, kind):
    target = tmp_path / "net"
    write(kind, target)
    refuse_occupied(kind, target, overwrite=True)
    with pytest.raises(UserError, match="exists already; give another one, or overwrite=true"):
        refuse_occupied(kind, target, overwrite=False)
    refuse_occupied(kind, tmp_path / "elsewhere", overwrite=False)


def add(name):
    return lambda target: (target / name).write_text("mine")


def foreign_header(target):
    (target / "network.h").write_text("#pragma once\n")


def link_for_file(target):
    (target / "main.c").rename(target.parent / "kept.c")
    (target / "main.c").symlink_to(target.parent / "kept.c")


@pytest.mark.parametrize(
    "change",
    [
        add("notes.txt"),
        add(".hidden"),
        add("network"),
        lambda target: (target / "deep/er").mkdir(parents=True),
        lambda target: (target / "main.c").unlink(),
        foreign_header,
        link_for_file,
    ],
)
def test_a_directory_that_holds_anything_else_is_refused_untouched(tmp_path, change):
    target = tmp_path / "net"
    write("c", target)
    change(target)
    before = content(target)
    with pytest.raises(UserError, match=r"^output=.*net: .*no export.*$"):
        refuse_occupied("c", target, overwrite=True)
    assert content(target) == before


@pytest.mark.parametrize("kind", ["onnx", "packed", "c"])
@pytest.mark.parametrize("held", ["directory", "photograph", "source", "other format", "empty"])
def test_what_no_export_wrote_is_refused_untouched(tmp_path, kind, held):
    target = tmp_path / "net"
    if held == "directory":
        (target / "letters").mkdir(parents=True)
        (target / "letters/one.txt").write_text("mine")
    elif held == "photograph":
        target.write_bytes(bytes(range(256)) * 40)
    elif held == "source":
        target.write_bytes(b'import apot_lit\nFORMAT = "apot_lit.packed"\n')
    elif held == "other format":
        write({"onnx": "packed", "packed": "c", "c": "onnx"}[kind], target)
    else:
        target.touch()
    before = content(target)
    with pytest.raises(UserError, match=r"^output=.*net: "):
        refuse_occupied(kind, target, overwrite=True)
    assert content(target) == before


@pytest.mark.parametrize("kind", ["onnx", "c"])
def test_a_place_where_nothing_can_be_written_is_told_before_anything_is_made(tmp_path, kind):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(UserError, match=r"^output=/: can't be written; / is a directory"):
        refuse_occupied(kind, Path("/"), overwrite=True)
    with pytest.raises(UserError, match=rf"^output=.*notes/a/net: can't be written; {tmp_path}/notes is no directory"):
        refuse_occupied(kind, tmp_path / "notes/a/net", overwrite=False)
    refuse_occupied(kind, tmp_path / "not/yet/there", overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize("kind", ["onnx", "packed", "c"])
@pytest.mark.parametrize("error", [UserError("verification failed"), KeyboardInterrupt(), OSError(28, "disk full")])
@pytest.mark.parametrize("occupied", [True, False])
def test_after_an_error_the_old_export_stands_and_nothing_of_the_new_one(tmp_path, kind, error, occupied):
    target = tmp_path / "net"
    if occupied:
        write(kind, target)
    before = content(tmp_path)

    def fail(scratch):
        write(kind, scratch, "new")
        raise error

    with pytest.raises(type(error)):
        place(target, fail)
    assert content(tmp_path) == before
    assert target.exists() == occupied


def test_what_comes_into_the_directory_meanwhile_is_not_deleted(tmp_path):
    target = tmp_path / "net"
    write("c", target)

    def disturbed(scratch):
        write("c", scratch, "new")
        (target / "notes.txt").write_text("mine")

    with pytest.raises(UserError, match=r"holds notes\.txt"):
        place(target, disturbed)
    assert (target / "notes.txt").read_text() == "mine"
    assert "old" in (target / "network.h").read_text()


def killed_at(call, run):
    """Runs in another process, which is killed before it opens, syncs, renames or deletes for the `call`-th time.

    Returns:
        Whether it came so far.
    """
    child = os.fork()
    if not child:
        calls = iter(range(1000))

        def or_kill(function):
            def wrapper(*arguments, **options):
                if next(calls) == call:
                    os._exit(9)
                return function(*arguments, **options)

            return wrapper

        for name in ("mkdir", "rename", "replace", "unlink", "rmdir", "fsync"):
            setattr(os, name, or_kill(getattr(os, name)))
        io.open = or_kill(io.open)
        try:
            run()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def put(held, path):
    """Writes what `content` returned."""
    if isinstance(held, bytes):
        path.write_bytes(held)
        return
    path.mkdir()
    for name, data in held.items():
        (path / name).write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "moments"), [("onnx", 5), ("packed", 5), ("c", 20)])
def test_a_kill_at_any_moment_leaves_the_old_export_or_the_new_one(tmp_path, kind, moments):
    for title in ("old", "new"):
        write(kind, tmp_path / title, title)
    old, new = content(tmp_path / "old"), content(tmp_path / "new")
    assert old != new
    outcomes = []
    for call in range(100):
        directory = tmp_path / str(call)
        directory.mkdir()
        target = directory / "net"
        put(old, target)
        if not killed_at(call, lambda target=target: place(target, partial(put, new))):
            assert content(target) == new
            break
        with pytest.raises(UserError, match="exists already"):  # found where it belongs, or put back
            refuse_occupied(kind, target, overwrite=False)
        assert content(target) in (old, new)
        outcomes.append("new" if content(target) == new else "old")
        place(target, partial(put, new))
        assert content(target) == new
        assert [path.name for path in directory.iterdir()] == ["net"]
    assert len(outcomes) >= moments
    assert set(outcomes) == {"old", "new"}
    assert sorted(outcomes, reverse=True) == outcomes  # from some moment on it is the new one


def test_leftovers_of_others_are_not_cleaned(tmp_path):
    (tmp_path / ".net.partial").mkdir()
    (tmp_path / ".net.partial/notes.txt").write_text("mine")
    (tmp_path / ".net.partial/main.c").write_text("mine")
    before = content(tmp_path)
    with pytest.raises(UserError, match=r"\.net\.partial: holds notes\.txt"):
        place(tmp_path / "net", partial(write, "c"))
    assert content(tmp_path) == before


def test_a_link_stays_one(tmp_path):
    write("c", tmp_path / "real")
    (tmp_path / "net").symlink_to("real")
    refuse_occupied("c", tmp_path / "net", overwrite=True)
    place(tmp_path / "net", lambda scratch: write("c", scratch, "new"))
    assert (tmp_path / "net").readlink() == Path("real")
    assert set(content(tmp_path / "real")) == set(C_FILES)
    assert "new" in (tmp_path / "real/network.h").read_text()
