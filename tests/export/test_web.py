"""The page on which digits are drawn: what it holds, what its modules compute, and how it is refused and repaired."""

import json
import re
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from apot_lit.errors import UserError
from apot_lit.export import web_module
from apot_lit.export.place import refuse_occupied
from apot_lit.export.verify import verify
from apot_lit.export.web import write_web
from apot_lit.export.web_engine import WebEngine
from apot_lit.export.web_module import find_wasm_compiler
from apot_lit.export.web_parts import read_modules, read_parts
from apot_lit.integer import Executor, to_integers
from apot_lit.quant.convert import quant_layers
from tests.export.conftest import digits, save_checkpoint, trained

pytestmark = [
    pytest.mark.skipif(find_wasm_compiler() is None, reason="no compiler to WebAssembly: neither ziglang nor clang"),
    pytest.mark.skipif(find_spec("wasmtime") is None, reason="no wasmtime"),
]


@pytest.fixture(scope="module")
def integers():
    return to_integers(trained(3, 1, width=4), digits("train")[0][:300])


@pytest.fixture(scope="module")
def page(integers, tmp_path_factory):
    path = tmp_path_factory.mktemp("web") / "net.html"
    write_web(integers, "a </title> test", *digits(), path)
    return path


def facts_of(page):
    return json.loads(re.search(r'id="facts">(.*?)</script>', page.read_text())[1])


def test_both_modules_are_the_reference_executor(integers, page):
    found = verify(integers, WebEngine(page), digits()[0][:600])
    assert found.images == 600
    assert found.weights == sum(layer.weight.numel() for _, layer in quant_layers(trained(3, 1, width=4)))


def test_another_network_is_noticed(page):
    with pytest.raises(UserError, match=r"verification failed: .* weights of layer .* differ"):
        verify(
            to_integers(trained(3, 1, width=4, steps=1), digits("train")[0][:300]), WebEngine(page), digits()[0][:10]
        )


def test_one_module_has_vector_instructions_and_the_other_runs_without(page):
    from wasmtime import Config, Engine, Module, WasmtimeError

    config = Config()
    config.wasm_relaxed_simd = False
    config.wasm_simd = False
    engine, modules = Engine(config), read_modules(page)
    Module(engine, modules.plain)
    with pytest.raises(WasmtimeError, match="SIMD"):
        Module(engine, modules.simd)
    parts = read_parts(page)
    weights = sum(layer.weight.numel() for _, layer in quant_layers(trained(3, 1, width=4)))
    assert len(parts["rest"]) > weights > len(parts["simd"]) > len(parts["plain"])  # the weights are stored once


def test_the_page_needs_nothing_else(page):
    text = page.read_text()
    assert re.findall(r'\b(?:src|href)="(?!data:)', text) == []
    assert re.findall(r"https?:|@import|url\(", text) == []
    assert "<title>Draw a digit: a &lt;/title&gt; test</title>" in text
    assert len(text) < 200_000


def test_the_sheet_has_digits_that_are_read_rightly_and_those_that_are_not(integers, page):
    images, labels = digits()
    answers = torch.cat([Executor(integers)(batch).argmax(1) for batch in images.split(500)])
    found = facts_of(page)["digits"]
    chosen = [digit["index"] for digit in found]
    assert [digit["label"] for digit in found] == labels[chosen].tolist()
    assert [digit["answer"] for digit in found] == answers[chosen].tolist()
    wrong = (answers != labels).nonzero().flatten().tolist()
    assert [index for index in chosen if index in set(wrong)] == chosen[40:] == wrong[:60]
    for label in range(10):
        right = [index for index in chosen[:40] if labels[index] == label]
        assert right == ((answers == labels) & (labels == label)).nonzero().flatten().tolist()[:4]
    assert read_parts(page)["digits"] == images[chosen].numpy().tobytes()
    assert f"The first 60 of {len(wrong)}" in page.read_text()
    assert f"{100 * (1 - len(wrong) / 10_000):.2f} % of 10,000 test digits right" in page.read_text()


def changed(page, target, change):
    target.write_bytes(change(page.read_bytes()))
    return target


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:-1000], "not all of one"),
        (lambda data: data.replace(b"Draw a digit", b"Draw a cat", 1), "changed or damaged"),
        (lambda data: data.replace(b'id="rest">eN', b'id="rest">eM', 1), "changed or damaged"),
        (lambda data: b"", "no page that format=web wrote"),
        (lambda data: b"\xff" * 100, "can't be read"),
    ],
)
def test_a_damaged_page_is_refused(page, tmp_path, change, said):
    with pytest.raises(UserError, match=said) as refusal:
        WebEngine(changed(page, tmp_path / "net.html", change))
    assert str(tmp_path / "net.html") in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_other_images_than_a_drawing_are_refused(integers, tmp_path):
    with pytest.raises(UserError, match=r"a drawing has 1 x 28 x 28 pixels, the network reads 3 x 32 x 32"):
        write_web(replace(integers, input_shape=(3, 32, 32)), "", *digits(), tmp_path / "net.html")
    assert not list(tmp_path.iterdir())


def test_a_missing_compiler_is_named(integers, tmp_path, monkeypatch):
    monkeypatch.setattr(web_module, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"ziglang \(install apot-lit\[web\]\), or clang with wasm-ld"):
        write_web(integers, "", *digits(), tmp_path / "net.html")
    monkeypatch.setattr(web_module, "find_wasm_compiler", lambda: (sys.executable, "-c", "exit(1)"))
    with pytest.raises(UserError, match=f"{sys.executable} .*can't compile the network: exit code 1"):
        write_web(integers, "", *digits(), tmp_path / "net.html")
    assert not list(tmp_path.iterdir())


def test_only_such_a_page_is_replaced(page, tmp_path):
    refuse_occupied("web", page, overwrite=True)
    other = tmp_path / "other.html"
    other.write_text("<!doctype html><title>mine</title>")
    with pytest.raises(UserError, match="no export of format=web wrote what is there"):
        refuse_occupied("web", other, overwrite=True)


@pytest.mark.slow
def test_the_script_writes_verifies_and_verifies_again(run_script, tmp_path):
    checkpoint, target = tmp_path / "apot3.ckpt", tmp_path / "net.html"
    save_checkpoint(checkpoint, 3, 1)
    for arguments in (["format=web"], ["format=verify"], ["format=web", "overwrite=true"]):
        places = [f"ckpt_path={checkpoint}", f"output={target}", f"hydra.run.dir={tmp_path}/run"]
        outcome = run_script("export.py", *places, *arguments)
        assert outcome.code == 0, outcome.err
        assert "activation codes of 10,000 images are equal" in outcome.out
        assert json.loads((tmp_path / "run/export.json").read_text())["format"] == "web"
    assert "resnet10, APoT, 3 bits" in target.read_text()


def test_codes_say_how_large_they_get(integers, page):
    largest = facts_of(page)["largest"]
    _, codes = Executor(integers).codes(digits()[0][:50])
    assert largest.keys() == codes.keys()
    for layer, values in codes.items():
        assert values.max() <= largest[layer]
    assert np.mean([values.max() == largest[layer] for layer, values in codes.items()]) > 0.8
