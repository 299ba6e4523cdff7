"""Networks for microcontrollers are the network of integers, with the sanitizers of this machine's compiler."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from apot_lit.benchmark.emulation import NEEDED, emulate
from apot_lit.errors import UserError
from apot_lit.export.micro_engine import MICRO_FLAGS, MicroEngine
from apot_lit.export.micro_plan import place_operations, plan_micro
from apot_lit.export.micro_source import MICRO_FILES, write_micro
from apot_lit.export.place import refuse_occupied
from apot_lit.export.verify import verify
from apot_lit.graph.steps import MaxPool
from apot_lit.integer import to_integers
from apot_lit.integer.executor import Executor
from apot_lit.integer.network import Accumulate
from apot_lit.integer.trimming import trim_taps
from tests.export.conftest import REFERENCE_PIXELS, digits, trained

IMAGES = 8
# What is undefined ends the process, and so the test.
CHECKED = (*MICRO_FLAGS[:1], "-O1", *MICRO_FLAGS[2:], "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")


def integers(*arguments, stream_bit=16, **options):
    return to_integers(trained(*arguments, **options), digits("train")[0][:300], stream_bit, fold=False)


def exported(network, directory):
    write_micro(network, "a test", directory)
    return directory


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((4, 1), {"width": 4}),
        ((3, 1), {"pixels": REFERENCE_PIXELS, "width": 3}),
        ((2, 1), {"lr": 0.01, "width": 4, "stem": "strided", "first_bit": 4, "last_bit": 4}),
        ((5, 1), {"stem": "small", "width": 2, "stream_bit": 12}),
        ((8, 0), {"name": "resnet50", "width": 2, "stream_bit": 8}),
        ((3, 1), {"additive": False, "width": 5, "name": "resnet18"}),
        ((2, 0), {"width": 4, "act_bit": 6}),
    ],
    ids=str,
)
def test_weights_codes_and_logits_are_equal(tmp_path, arguments, options):
    network = integers(*arguments, **options)
    engine = MicroEngine(exported(network, tmp_path / "net"), CHECKED)
    done = verify(network, engine, digits()[0][:IMAGES], trim_taps(network))
    assert done.images == IMAGES
    assert done.weights > 500
    assert done.codes > 500


@pytest.fixture(scope="module")
def small():
    return integers(3, 1, width=2)


@pytest.fixture(scope="module")
def directory(small, tmp_path_factory):
    return exported(small, tmp_path_factory.mktemp("micro") / "net")


def test_nothing_but_the_arena_is_written(small, directory):
    """Bytes around it stay, in a program whose accesses the compiler does not check."""
    engine = MicroEngine(directory)
    memory = np.full(engine.arena_bytes + 64, 0x5A, np.uint8)
    begin = 16 + -(memory.ctypes.data + 16) % 4
    image, logits = digits()[0][0].numpy().copy(), np.zeros(10, engine.logit_type)
    arguments = image.ctypes.data, logits.ctypes.data, memory.ctypes.data + begin, engine.arena_bytes
    found = engine.functions.apot_classify(*arguments)
    expected = Executor(small)(digits()[0][:1])[0]
    assert found == int(expected.argmax())
    assert logits.tolist() == expected.tolist()
    assert (memory[:begin] == 0x5A).all()
    assert (memory[begin + engine.arena_bytes :] == 0x5A).all()
    assert (memory[begin : begin + engine.arena_bytes] != 0x5A).any()


def test_errors_have_the_codes_of_the_other_runtime(directory):
    engine = MicroEngine(directory)
    image, logits = digits()[0][0].numpy().copy(), np.zeros(10, engine.logit_type)
    memory = np.zeros(engine.arena_bytes + 8, np.uint8)
    begin = memory.ctypes.data + -memory.ctypes.data % 4
    good = [image.ctypes.data, logits.ctypes.data, begin, engine.arena_bytes]
    call = engine.functions.apot_classify
    for place in range(3):
        assert call(*[None if n == place else value for n, value in enumerate(good)]) == -1
    assert call(*good[:3], engine.arena_bytes - 1) == -2
    assert call(*good[:2], begin + 1, engine.arena_bytes) == -3
    assert call(*good) >= 0


@pytest.mark.parametrize(
    "options", [{"width": 4}, {"width": 4, "stem": "small"}, {"name": "resnet50", "width": 2}], ids=str
)
def test_no_two_values_that_are_needed_share_memory(options):
    """Each operation reads what was put there, by a simulation of who wrote each byte last."""
    network = trim_taps(integers(3, 1, **options))
    operations = plan_micro(network)
    offsets, arena = place_operations(operations, stream_bytes=2)
    owner = [""] * arena
    for operation in operations:
        for name, value in ((operation.source, None), (operation.added, None)):
            if name not in (None, "pixels"):
                size = next(one for one in reversed(operations[: operations.index(operation)]) if one.place == name)
                held = owner[offsets[name] : offsets[name] + size.bytes(2)]
                assert set(held) == {size.output}, value
        size = operation.bytes(2)
        owner[offsets[operation.place] : offsets[operation.place] + size] = [operation.output] * size


def test_the_map_before_a_pool_never_lies_in_memory(small):
    operations = plan_micro(small)
    assert operations[0].pool is not None
    assert operations[0].bytes(2) == 7 * 7 * 2 * 2
    assert not any(isinstance(operation.step, MaxPool) for operation in operations)


def test_changed_files_are_refused(small, tmp_path):
    directory = exported(small, tmp_path / "net")
    for name in MICRO_FILES[:-1]:
        content = (directory / name).read_bytes()
        (directory / name).write_bytes(content + b" ")
        with pytest.raises(UserError, match=f"{name} does not fit SHA256SUMS"):
            MicroEngine(directory)
        (directory / name).write_bytes(content)
    (directory / "network.c").unlink()
    with pytest.raises(UserError, match="is no export of format=microcontroller"):
        MicroEngine(directory)


def test_only_an_export_of_the_format_is_replaced(directory):
    refuse_occupied("microcontroller", directory, overwrite=True)
    with pytest.raises(UserError, match="no export of format=c wrote what is there"):
        refuse_occupied("c", directory, overwrite=True)


def test_what_the_runtime_lacks_is_refused(small, tmp_path):
    folded = to_integers(trained(3, 1, width=2), digits("train")[0][:300])
    with pytest.raises(UserError, match="its sums must be read by one batch norm alone"):
        write_micro(folded, "a test", tmp_path / "net")
    assert not (tmp_path / "net").exists()
    steps = [
        replace(step, is_signed=True) if isinstance(step, Accumulate) and step.layer != "conv1" else step
        for step in small.steps
    ]
    with pytest.raises(UserError, match="has no codes with a sign"):
        write_micro(replace(small, steps=steps), "a test", tmp_path / "net")
    assert not (tmp_path / "net").exists()


@pytest.mark.slow
@pytest.mark.skipif(any(shutil.which(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}")
@pytest.mark.parametrize("optimization", ["-Os", "-O2"])
def test_an_emulated_cortex_m3_says_what_python_says(small, tmp_path, optimization):
    images = digits()[0][:20]
    done = emulate(exported(small, tmp_path / "net"), images.numpy(), optimization)
    expected = Executor(small)(images)
    assert torch.equal(torch.from_numpy(done.logits), expected)
    assert done.classes.tolist() == expected.argmax(1).tolist()
    assert 3_000 < done.flash < 16_384
    assert 784 + MicroEngine(tmp_path / "net").arena_bytes <= done.memory < 4_096
    assert 0 < done.stack < 2_048
    # A multiplication takes an instruction for two products at least.
    assert done.instructions > 30_000
