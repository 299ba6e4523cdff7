"""compile, channels_last, precision and threads change how a network is computed, not what is written."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._dynamo.testing import CompileCounter

from apot_lit.data.embedded import load_idx_pair
from apot_lit.errors import UserError
from apot_lit.training.classifier import QuantClassifier
from apot_lit.training.trainer import prepare
from tests.conftest import ROOT

TINY = ["model=resnet10", "model.width=4", "data.train_images=300", "data.val_split=500", "trainer.max_epochs=1",
        "trainer.accelerator=cpu"]  # fmt: skip
PLAIN = {
    "threads": None,
    "channels_last": False,
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "compile": False,
    "accelerator": "cpu",
    "accumulate_grad_batches": 1,
    "precision": "32-true",
}
DATA = {"mean": 33 / 255, "std": 0.3081}


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(run_script, directory, *arguments):
    outcome = run_script("train.py", *TINY, f"hydra.run.dir={directory}", *arguments)
    assert outcome.code == 0, outcome.err
    state = torch.load(directory / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return outcome, state, json.loads((directory / "result.json").read_text())


def classifier(quant, data=DATA, size=128, **options):
    """A classifier that is the same every time, prepared with these options of the trainer."""
    torch.manual_seed(0)
    model = {"name": "resnet10", "width": 4}
    made = QuantClassifier({"model": model, "quant": quant, "data": {**data, "batch_size": size}})
    prepare(made, {**PLAIN, **options})
    return made


def first_step(bit, **options):
    """Logits and gradients of the first training step, each as one vector in float64."""
    images, labels = (part[:128] for part in load_idx_pair(ROOT / "data/mnist", "train"))
    made = classifier({"bit": bit}, **options).train()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.get("precision") == "bf16-mixed"):
        logits = made._training_forward(len(images))(images)
        F.cross_entropy(logits, labels).backward()
    gradients = [parameter.grad.flatten() for parameter in made.network.parameters()]
    return logits.detach().double().flatten(), torch.cat(gradients).double()


def relative(vector, other):
    return float((vector - other).norm() / other.norm())


def assert_same_step(bit, **options):
    """Sums are exact, so only batch norms add up in another order; the bounds leave room for codes that flip by it."""
    (logits, gradients), (expected, expected_gradients) = first_step(bit, **options), first_step(bit)
    assert relative(logits, expected) < 1e-3
    assert relative(gradients, expected_gradients) < 1e-2


@pytest.mark.parametrize("options", [{"threads": 1}, {"channels_last": True}], ids=str)
@pytest.mark.parametrize("bit", [2, 5])
def test_the_first_step_is_the_same(bit, options):
    torch.set_num_threads(2)
    assert_same_step(bit, **options)


@pytest.mark.slow
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_first_compiled_step_is_the_same(channels_last):
    assert_same_step(5, compile=True, channels_last=channels_last)


def test_threads_are_written_down(run_script, tmp_path):
    _, _, result = run(run_script, tmp_path / "run", "trainer.threads=1")
    assert result["hardware"]["threads"] == 1


def test_every_run_of_a_process_is_compiled(monkeypatch):
    """The compiler leaves a function as it is once it has compiled it for `recompile_limit` networks."""
    compiler = CompileCounter()
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, mode, dynamic: compile_(function, backend=compiler))
    compiled = []
    for _ in range(3):
        before = compiler.op_count
        made = QuantClassifier({"data": {"batch_size": 4}}, network=nn.Linear(3, 2))
        prepare(made, {**PLAIN, "compile": True})
        # monkeypatch would undo this by deleting the option.
        with torch._dynamo.config.patch(recompile_limit=1):
            made._training_forward(4)(torch.rand(4, 3))
        compiled.append(compiler.op_count - before)
    assert compiled[0] > 0
    assert compiled == [compiled[0]] * 3


REFUSED = [
    ({"bit": 6}, DATA, "layer1.0.conv1 has codes of 9 significant bits"),
    ({"bit": 8}, DATA, "layer1.0.conv1 has codes of 12"),
    ({"bit": 5, "act_bit": 6}, DATA, "input of layer1.0.conv1 has codes of 9"),
    ({"bit": 5, "weight_bit": 7}, DATA, "weight of layer1.0.conv1 has codes of 9"),
    ({"bit": 5, "edge_scale": "max"}, DATA, "weight of conv1 has codes without a limit"),
    ({"bit": 5}, {"mean": 0.131, "std": 0.308}, "input of conv1 has codes of 16"),
]
ALLOWED = [{"bit": bit} for bit in (2, 3, 4, 5, 32)] + [{"bit": 8, "power": 0}, {"bit": 4, "additive": False}]


@pytest.mark.parametrize(("quant", "data", "part"), REFUSED, ids=str)
def test_codes_that_bfloat16_has_no_room_for_are_refused(quant, data, part):
    with pytest.raises(UserError) as caught:
        classifier(quant, data, precision="bf16-mixed")
    message = str(caught.value)
    assert message.startswith("trainer.precision=bf16-mixed: ")
    assert part in message
    assert "\n" not in message


@pytest.mark.parametrize("quant", ALLOWED, ids=str)
def test_codes_that_bfloat16_has_room_for(quant):
    network = classifier(quant, precision="bf16-mixed").network
    codes = []
    for module in network.modules():
        for name in ("weight_quantizer", "act_quantizer"):
            if hasattr(getattr(module, name, None), "levels"):
                codes.append(torch.tensor(getattr(module, name).levels.codes, dtype=torch.float64))
    for values in codes:
        assert torch.equal(values.bfloat16().double(), values)


@pytest.mark.slow
def test_what_the_rounding_of_bfloat16_costs():
    """Codes fit, but what lies between layers has 8 bits: at 5 bits 8 % of the logits, and 1.7 % of the answers."""
    images, labels = load_idx_pair(ROOT / "data/mnist", "train")
    network = classifier({"bit": 5}, precision="bf16-mixed").network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for batch, wanted in zip(images[:6400].split(64), labels[:6400].split(64), strict=True):
        optimizer.zero_grad()
        F.cross_entropy(network(batch), wanted).backward()
        optimizer.step()
    network.eval()
    digits = load_idx_pair(ROOT / "data/mnist", "test")[0][:1000]
    with torch.no_grad():
        expected = network(digits)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = network(digits).float()
    assert 1e-4 < relative(rounded, expected) < 0.2
    assert (rounded.argmax(1) == expected.argmax(1)).float().mean() > 0.95


def test_without_a_compiler_it_says_so_and_trains(run_script, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(UserWarning, match="no C\\+\\+ compiler"):
        run(run_script, tmp_path / "run", "trainer.compile=true")


@pytest.mark.slow
def test_bfloat16_trains_float32_weights(run_script, tmp_path):
    _, state, _ = run(run_script, tmp_path / "run", "trainer.precision=bf16-mixed")
    assert all(value.dtype != torch.bfloat16 for value in state.values())


@pytest.mark.slow
def test_compiled_training_leaves_names_as_they_are(run_script, tmp_path):
    _, plain, _ = run(run_script, tmp_path / "plain")
    _, compiled, _ = run(run_script, tmp_path / "run", "trainer.compile=true", "trainer.channels_last=true")
    assert compiled.keys() == plain.keys()
