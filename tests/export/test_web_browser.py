"""The page in a browser: its module gives the executor's bits, its drawings are those of predict.py, fingers draw."""

import base64
import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from apot_lit.export.web import write_web
from apot_lit.export.web_module import find_wasm_compiler
from apot_lit.integer import Executor, to_integers
from apot_lit.predict.digit import as_digit
from tests.browser import CHROMIUM, browser
from tests.export.conftest import digits, trained

pytestmark = [
    pytest.mark.skipif(find_wasm_compiler() is None, reason="no compiler to WebAssembly: neither ziglang nor clang"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
    pytest.mark.skipif(find_spec("wasmtime") is None, reason="no wasmtime"),
]
SIMD, PLAIN = "", "WebAssembly.validate = () => false"


@pytest.fixture(scope="module")
def integers():
    return to_integers(trained(4, 1, steps=120), digits("train")[0][:300])


@pytest.fixture(scope="module")
def path(integers, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "net.html"
    write_web(integers, "a test", *digits(), path)
    return path


@pytest.fixture(scope="module", params=[SIMD, PLAIN], ids=["simd", "plain"])
def page(request, path, tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as page:
        page.open(path, request.param)
        page.run("started.then(() => null)")
        page.is_fast = request.param == SIMD
        yield page
        assert page.complaints == []
        assert page.loaded == [path.as_uri()]


def as_script(pixels):
    text = base64.b64encode(np.ascontiguousarray(pixels).tobytes()).decode()
    return f'Uint8Array.from(atob("{text}"), (c) => c.charCodeAt(0))'


def compare(page, integers, images):
    assert page.run("started.then((network) => network.isFast)") is page.is_fast
    for batch in images.split(500):
        found = page.run(f"""started.then((network) => {{
            const all = {as_script(batch.numpy())}, found = [];
            for (let n = 0; n < all.length; n += 784) {{
                const pixels = all.subarray(n, n + 784), {{ logits }} = network.classify(pixels);
                const sums = network.inspect(pixels).map(({{ codes }}) =>
                    codes.reduce((sum, code) => (sum * 31 + code) % 65521, 0));
                found.push([logits, sums]);
            }}
            return JSON.stringify([network.layers.map(({{ name }}) => name), found]);
        }})""")
        layers, values = json.loads(found)
        logits, codes = Executor(integers).codes(batch)
        assert [logits for logits, _ in values] == logits.tolist()
        assert layers == [*codes]
        sums = np.zeros((len(batch), len(layers)), np.int64)
        for n, layer in enumerate(layers):
            for code in codes[layer].flatten(1).numpy().astype(np.int64).T:
                sums[:, n] = (sums[:, n] * 31 + code) % 65521
        assert [found for _, found in values] == sums.tolist()


@pytest.mark.slow
def test_logits_and_codes_are_those_of_the_executor(page, integers):
    compare(page, integers, digits()[0][:300])


@pytest.mark.slow
def test_all_test_digits_have_the_logits_of_the_executor(page, integers):
    compare(page, integers, digits()[0])


def drawings():
    def ink(size, *lines, width):
        picture = Image.new("L", (4 * size[0], 4 * size[1]))
        for line in lines:
            points = [(4 * x, 4 * y) for x, y in line]
            ImageDraw.Draw(picture).line(points, fill=255, width=4 * width, joint="curve")
        return np.asarray(picture.resize(size, Image.Resampling.BOX))

    yield ink((364, 364), [(180, 60), (180, 300)], width=28)
    yield ink((364, 364), [(60, 60), (300, 70), (120, 330)], [(90, 200), (250, 190)], width=28)
    yield ink((364, 364), [(10, 10), (60, 350)], width=5)
    yield ink((101, 67), [(5, 60), (95, 3)], width=4)  # wider than high
    yield ink((40, 40), [(14, 14), (25, 26)], width=3)  # is enlarged
    yield ink((30, 30), [(15, 15), (16, 15)], width=2)
    yield ink((50, 80), [(20, 5), (20, 75)], [(20, 75), (45, 75)], width=9) // 3  # faint
    yield np.zeros((20, 20), np.uint8)


def test_drawings_become_the_digits_that_predict_makes_of_pictures(page):
    for ink in drawings():
        height, width = ink.shape
        script = f"asDigit({{values: {as_script(ink)}, width: {width}, height: {height}}})"
        found = page.run(f"((digit) => digit && [...digit])({script})")
        expected = as_digit(ink, invert=False, center=True)
        if not ink.any():
            assert found is None
            continue
        difference = np.abs(np.array(found).reshape(28, 28) - expected.astype(int))
        assert difference.max() <= 1  # where float32 and float64 round otherwise
        assert (difference > 0).mean() < 0.01


def stroke(page, points, kind):
    """Draws as a person does: points are shares of the drawing's width and height."""
    script = "(({x, y, width, height}) => [x, y, width, height])(drawing.getBoundingClientRect())"
    x, y, width, height = page.run(f"(drawing.scrollIntoView(), {script})")
    points = [{"x": x + a * width, "y": y + b * height} for a, b in points]
    if kind == "mouse":
        names = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
        for name, point in zip(names, [*points, points[-1]], strict=True):
            page.call("Input.dispatchMouseEvent", type=name, button="left", buttons=1, clickCount=1, **point)
    else:
        for n, point in enumerate(points):
            page.call("Input.dispatchTouchEvent", type="touchMove" if n else "touchStart", touchPoints=[point])
        page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    page.run("new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then)))")


SHAPES = {
    1: [(0.52, 0.15 + 0.07 * n) for n in range(11)],
    0: [(0.5 + 0.22 * np.sin(a), 0.5 - 0.33 * np.cos(a)) for a in np.linspace(0, 2 * np.pi, 25)],
    7: [(0.25 + 0.05 * n, 0.2) for n in range(11)] + [(0.75 - 0.03 * n, 0.2 + 0.06 * n) for n in range(1, 11)],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mouse", "finger"])
@pytest.mark.parametrize("digit", SHAPES)
def test_a_drawn_digit_is_recognised(page, integers, digit, kind):
    page.call("Emulation.setTouchEmulationEnabled", enabled=kind == "finger")
    page.run("document.querySelector('.sheet button').click()")
    stroke(page, SHAPES[digit], kind)
    assert page.run("document.getElementById('class').textContent") == str(digit)
    assert "drawing" in page.run("document.getElementById('said').textContent")
    read = page.run("[...at('read').getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0)")
    pixels = torch.tensor(read, dtype=torch.uint8).view(1, 1, 28, 28)
    shares = (Executor(integers)(pixels)[0].double() * integers.logit_scale).softmax(0)
    shown = page.run("[...document.querySelectorAll('#bars i')].map((bar) => parseFloat(bar.style.width))")
    np.testing.assert_allclose(shown, 100 * shares, atol=0.01)
    page.run("document.getElementById('clear').click()")
    assert page.run("pen.getImageData(0, 0, drawing.width, drawing.height).data.every((value) => value === 0)")


def test_a_misread_test_digit_says_so(page):
    page.run("document.querySelectorAll('.sheet')[1].querySelector('button').click()")
    digit = page.run("facts.digits[40]")
    text = page.run("document.getElementById('said').textContent")
    assert text == f"Test digit {digit['index']}, labelled {digit['label']}: wrong."
    assert page.run("document.getElementById('class').textContent") == str(digit["answer"])
    assert page.run("document.querySelectorAll('.sheet button[aria-pressed=true]').length") == 1


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_the_screen_and_shows_all_layers(page, integers, width):
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    shown = page.run("[...document.querySelectorAll('#layers canvas')].map(({width, height}) => [width, height])")
    _, codes = Executor(integers).codes(digits()[0][:1])
    assert len(shown) == len(codes)
    for (columns, rows), values in zip(shown, codes.values(), strict=True):
        _, channels, height, width_ = values.shape
        assert ((columns + 1) // (width_ + 1)) * ((rows + 1) // (height + 1)) >= channels
    colours = page.run("""[...document.querySelectorAll('#layers canvas')].map((canvas) => {
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return new Set(new Uint32Array(data.buffer)).size; })""")
    assert max(colours) > 4  # levels, and what lies between maps
    assert "SIMD" in page.run("document.getElementById('time').textContent")
