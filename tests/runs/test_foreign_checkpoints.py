"""Files that are no checkpoints, or checkpoints with anything in them: one line, or a network that works."""

import os
import resource
import warnings
from pathlib import Path
from random import Random

import pytest
import torch

from apot_lit.data.datamodule import build_datamodule
from apot_lit.errors import UserError
from apot_lit.runs.checkpoint import FORMAT, SEAL, read_file, sealed
from apot_lit.stored.trained import read_any_trained, read_trained
from apot_lit.training.classifier import QuantClassifier
from tests.conftest import ROOT, one_thread
from tests.interop.test_reference import quantised, write_reference
from tests.mutations import PLAIN, WIDE, damaged, mutated

OLD = Path(__file__).parent / "version_0_1_0/whole_pixel_mean.ckpt"
DATA = ROOT / "data/mnist"
NOT_GIVEN = {"bit": None, "power": 1}
CYCLE = []
CYCLE.append(CYCLE)

single_thread = pytest.fixture(autouse=True)(one_thread)


def nasty():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ones = torch.ones(2, 2)
        tensors = [
            *(ones, torch.zeros(()), torch.zeros(0), torch.full((2,), float("nan")), torch.full((2,), float("inf"))),
            *(
                ones.to_sparse(),
                ones.to_sparse_csr(),
                ones.to("meta"),
                ones.to(torch.complex64),
                ones.bool(),
                ones.int(),
            ),
            *(torch.quantize_per_tensor(ones, 0.1, 0, torch.quint8), torch.ones(1).expand(10**12), ones.double()),
            *(
                ones.to(torch.float8_e4m3fn),
                torch.nn.Parameter(ones),
                torch.full((2,), -1.0),
                torch.ones(2, 1, 7, 7).int(),
            ),
        ]
    return [*tensors, *tensors, *PLAIN, b"bytes", (1, 2), {1, 2}, {3: "x"}, {(1, 2): 3}, CYCLE, WIDE, torch.float32]


def one_line_or_works(path, **given):
    """What came out: the line, or None where the network works. Anything else is an error of the test."""
    try:
        trained = read_any_trained(str(path), given.get("model"), given.get("quant", NOT_GIVEN), DATA)
    except UserError as error:
        message = str(error)
        assert message.startswith(f"ckpt_path={path}: ")
        assert len(message.splitlines()) == 1
        assert len(message) < 1500
        assert message.isprintable()
        assert "weights_only" not in message  # torch's advice how to run what is in the file
        return message
    with torch.no_grad():
        assert trained.network.eval()(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape == (2, 10)
    config = {**trained.config, "data": {**trained.config["data"], "data_dir": "."}}
    build_datamodule(config)
    QuantClassifier(config, network=trained.network)
    return None


@pytest.fixture(scope="module")
def original():
    content = torch.load(OLD, weights_only=True)
    return {key: content[key] for key in ("epoch", "state_dict", "hyper_parameters", "optimizer_states")}


def sweep_content(original, path, seeds):
    refused = 0
    within = [("state_dict",), ("hyper_parameters",), ("hyper_parameters", "config"), ()]
    within += [("hyper_parameters", "config", section) for section in ("model", "quant", "data")]
    for seed in seeds:
        random = Random(seed)
        content = mutated(original, random, nasty(), random.choices(within, k=3))
        torch.save(content, path)
        refused += one_line_or_works(path) is not None
    return refused


@pytest.mark.slow
def test_wrong_content(original, tmp_path):
    assert 60 < sweep_content(original, tmp_path / "x.ckpt", range(120)) < 120


@pytest.mark.slow
def test_wrong_content_at_length(original, tmp_path):
    sweep_content(original, tmp_path / "x.ckpt", range(120, 1000))


@pytest.mark.slow
def test_damaged_files(tmp_path):
    content = OLD.read_bytes()
    for seed in range(150):
        (tmp_path / "x.ckpt").write_bytes(damaged(content, Random(seed)))
        one_line_or_works(tmp_path / "x.ckpt")


def test_wrong_content_of_the_reference(tmp_path):
    path = write_reference(tmp_path / "x.pth.tar", quantised(bit=3))
    original = torch.load(path, weights_only=True)
    original.pop("optimizer")
    given = {"model": {"name": "resnet10", "width": 4}, "quant": {"bit": 3, "power": 1}}
    refused = 0
    for seed in range(40):
        torch.save(mutated(original, Random(seed), nasty(), [("state_dict",)]), path)
        refused += one_line_or_works(path, **given) is not None
        if seed % 10 == 0:
            one_line_or_works(path)
    assert refused > 20


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/etc/passwd", ["damaged or not a checkpoint (its content is not plain tensors and numbers)"]),
        ("/dev/zero", ["not a checkpoint"]),
        ("x" * 5000, ["no such file"]),
        ("a\0b", ["no such file"]),
        ("nowhere", ["no such file"]),
    ],
    ids=["text", "device", "long", "null", "none"],
)
def test_other_files(path, parts):
    with pytest.raises(UserError) as caught:
        read_trained(path)
    for part in parts:
        assert part in str(caught.value)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a checkpoint"):
        read_trained(str(tmp_path / "pipe"))


@pytest.mark.parametrize(("key", "value"), [("width", 10**6), ("width", 10**12), ("num_classes", 10**12)])
def test_sizes_are_compared_before_anything_is_built(original, tmp_path, key, value):
    original = {**original, "hyper_parameters": {"config": {**original["hyper_parameters"]["config"]}}}
    config = original["hyper_parameters"]["config"]
    config["model"] = {**config["model"], key: value}
    torch.save(original, tmp_path / "x.ckpt")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError) as caught:
        read_trained(str(tmp_path / "x.ckpt"))
    assert len(str(caught.value).splitlines()) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB


def test_compressed_files_are_not_unpacked(tmp_path):
    import zipfile

    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {"network.x": torch.zeros(5_000_000)}}, tmp_path / "plain.ckpt")
    with zipfile.ZipFile(tmp_path / "plain.ckpt") as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in plain.namelist():
            packed.writestr(entry, plain.read(entry))
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match="compressed"):
        read_trained(str(path))


def test_a_wrong_file_is_one_line_of_the_script(run_script, tmp_path):
    outcome = run_script("evaluate.py", "ckpt_path=/etc/passwd", f"hydra.run.dir={tmp_path}/run")
    outcome.assert_refused(["ckpt_path=/etc/passwd", "not a checkpoint"])


def test_a_sealed_checkpoint_is_read_as_before(original, tmp_path):
    torch.save(sealed(original), tmp_path / "x.ckpt")
    read = read_file(tmp_path / "x.ckpt", "ckpt_path")
    assert read.keys() == {*original, SEAL}
    assert sealed(read)[SEAL] == read[SEAL]
    network, before = (read_trained(str(path)).network.eval() for path in (tmp_path / "x.ckpt", OLD))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), before.parameters(), strict=True))


@pytest.mark.parametrize("value", [b"bytes", {1}, torch.ones(1).expand(10**12), torch.ones(2, 2).to_sparse(), CYCLE])
def test_what_would_not_be_read_again_is_not_sealed(original, value):
    with pytest.raises(TypeError, match="callbacks"):
        sealed({**original, "callbacks": {"own": value}})


@pytest.mark.parametrize(
    ("seal", "part"),
    [
        ({"format": FORMAT + 1, "checksum": "x"}, f"newer version, in format {FORMAT + 1}"),
        ({"format": FORMAT, "checksum": "x"}, "was changed after it was written: its checksum does not fit"),
        ({"format": "2"}, "was changed after it was written"),
        (None, "was changed after it was written"),
        ([], "was changed after it was written"),
    ],
)
def test_other_seals_are_refused(original, tmp_path, seal, part):
    torch.save({**original, SEAL: seal}, tmp_path / "x.ckpt")
    assert part in one_line_or_works(tmp_path / "x.ckpt")


def test_changed_tensors_of_a_sealed_checkpoint_are_refused(original, tmp_path):
    complete = sealed(original)
    for seed in range(100):
        random = Random(seed)
        name = random.choice(list(complete["state_dict"]))
        value = complete["state_dict"][name].clone()
        position = random.randrange(value.numel())
        flat = value.view(-1).view(torch.uint8)
        flat[position * value.element_size() + random.randrange(value.element_size())] ^= 1 << random.randrange(8)
        torch.save({**complete, "state_dict": {**complete["state_dict"], name: value}}, tmp_path / "x.ckpt")
        assert "its checksum does not fit" in one_line_or_works(tmp_path / "x.ckpt")


def test_changed_bytes_of_a_sealed_checkpoint_are_refused_or_change_nothing(original, tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save(sealed(original), path)
    content, right = path.read_bytes(), sealed(original)[SEAL]
    refused = 0
    for seed in range(200):
        path.write_bytes(damaged(content, Random(seed)))
        try:
            read = read_file(path, "ckpt_path")
        except UserError:
            refused += 1
        else:
            assert sealed(read)[SEAL] == right
    assert refused > 100
