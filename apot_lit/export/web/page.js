// Drawing, and what is shown of the network.
const facts = JSON.parse(document.getElementById("facts").textContent);
const at = (id) => document.getElementById(id);
const drawing = at("drawing"), pen = drawing.getContext("2d", { willReadFrequently: true });
const PEN = drawing.width / 13, TIMED = 8;
let isFresh = true; // whether the next stroke begins a new drawing
let waiting = false, chosen = null;

// From black by purple and orange to a light yellow.
const STOPS = [[11, 7, 22], [84, 18, 110], [187, 55, 84], [249, 142, 9], [252, 255, 190]];
function colour(share) {
  const place = share * (STOPS.length - 1), n = Math.min(Math.trunc(place), STOPS.length - 2);
  return STOPS[n].map((from, i) => from + (place - n) * (STOPS[n + 1][i] - from));
}
at("scale").style.background = `linear-gradient(90deg, ${STOPS.map((stop) => `rgb(${stop})`).join(", ")})`;

function greyPicture(canvas, pixels) {
  canvas.width = canvas.height = SIZE;
  const context = canvas.getContext("2d"), image = context.createImageData(SIZE, SIZE);
  pixels.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  context.putImageData(image, 0, 0);
}

// The maps of all channels side by side.
function mapsPicture(canvas, { shape: [channels, height, width], codes }, largest) {
  const columns = Math.min(channels, Math.ceil(Math.sqrt(2 * channels))), rows = Math.ceil(channels / columns);
  canvas.width = columns * (width + 1) - 1;
  canvas.height = rows * (height + 1) - 1;
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  codes.forEach((code, i) => {
    const channel = Math.trunc(i / (height * width)), row = Math.trunc(i / width) % height;
    const y = Math.trunc(channel / columns) * (height + 1) + row, x = (channel % columns) * (width + 1) + (i % width);
    image.data.set([...colour(code / largest), 255], 4 * (y * canvas.width + x));
  });
  context.putImageData(image, 0, 0);
}

function percent(share) {
  if (share > 0.9995) return "> 99.9 %";
  return share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
}

function show(network, pixels, sentence) {
  greyPicture(at("read"), pixels);
  const { logits, milliseconds } = network.classify(pixels, TIMED);
  const shares = network.probabilities(logits), best = logits.indexOf(Math.max(...logits));
  at("class").textContent = best;
  at("said").replaceChildren(...sentence(best));
  at("bars").replaceChildren(...shares.flatMap((share, n) => {
    const [name, bar, number] = ["span", "i", "span"].map((kind) => document.createElement(kind));
    name.textContent = n;
    number.textContent = percent(share);
    bar.style.width = `${100 * share}%`;
    if (n === best) name.className = number.className = "best";
    return [name, bar, number];
  }));
  const kind = network.isFast ? "WebAssembly with SIMD" : "WebAssembly without SIMD";
  at("time").textContent = `${milliseconds.toFixed(2)} ms on one core, ${kind}`;
  const figures = at("layers").children;
  network.inspect(pixels).forEach((layer, n) =>
    mapsPicture(figures[n].querySelector("canvas"), layer, facts.largest[layer.name]));
}

function prepareLayers(network) {
  at("layers").replaceChildren(...network.layers.map(({ name, shape }) => {
    const [figure, caption, size] = ["figure", "figcaption", "span"].map((kind) => document.createElement(kind));
    size.textContent = shape.join(" × ");
    caption.append(name, size);
    figure.append(document.createElement("canvas"), caption);
    return figure;
  }));
}

function choose(button) {
  chosen?.setAttribute("aria-pressed", "false");
  chosen = button;
  chosen?.setAttribute("aria-pressed", "true");
}

function wipe() {
  pen.clearRect(0, 0, drawing.width, drawing.height);
  choose(null);
}

function showDrawing(network) {
  waiting = false;
  const data = pen.getImageData(0, 0, drawing.width, drawing.height).data;
  const values = Uint8Array.from({ length: data.length / 4 }, (_, i) => data[4 * i + 3]);
  const pixels = asDigit({ values, width: drawing.width, height: drawing.height });
  if (pixels) show(network, pixels, () => ["Your drawing, and on the left what the network reads of it: 28 × 28 pixels."]);
}

function showTestDigit(network, button, digit, pixels) {
  wipe();
  choose(button);
  isFresh = true;
  const picture = document.createElement("canvas");
  greyPicture(picture, pixels);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(picture, 0, 0, drawing.width, drawing.height);
  show(network, pixels, (best) => {
    const about = `Test digit ${digit.index}, labelled ${digit.label}`;
    if (best === digit.label) return [`${about}: right.`];
    const wrong = document.createElement("b");
    wrong.textContent = "wrong.";
    return [`${about}: `, wrong];
  });
}

function prepareDrawing(network) {
  let last = null;
  const place = (event) => {
    const box = drawing.getBoundingClientRect(), scale = drawing.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  const draw = (events) => {
    for (const event of events) {
      const next = place(event);
      pen.beginPath();
      pen.moveTo(...last);
      pen.lineTo(...next);
      pen.stroke();
      last = next;
    }
    if (!waiting) requestAnimationFrame(() => showDrawing(network));
    waiting = true;
  };
  Object.assign(pen, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "#fff" });
  drawing.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    if (isFresh) wipe();
    isFresh = false;
    drawing.setPointerCapture(event.pointerId);
    last = place(event);
    draw([event]);
  });
  drawing.addEventListener("pointermove", (event) => {
    if (!last) return;
    const events = event.getCoalescedEvents?.() ?? [];
    draw(events.length ? events : [event]);
  });
  for (const name of ["pointerup", "pointercancel"]) drawing.addEventListener(name, () => (last = null));
  at("clear").addEventListener("click", () => {
    wipe();
    isFresh = false;
  });
}

async function start() {
  const network = await Network.load(facts.logit_scale), digits = await unpacked("digits");
  prepareLayers(network);
  prepareDrawing(network);
  document.querySelectorAll(".sheet button").forEach((button, n) => {
    const pixels = digits.subarray(n * SIZE * SIZE, (n + 1) * SIZE * SIZE);
    greyPicture(button.querySelector("canvas"), pixels);
    button.addEventListener("click", () => {
      showTestDigit(network, button, facts.digits[n], pixels);
      drawing.scrollIntoView({ block: "nearest", behavior: "smooth" });
    });
    if (!n) showTestDigit(network, button, facts.digits[n], pixels);
  });
  return network;
}

const started = start();
started.catch((error) => {
  at("said").textContent = `The network can't be run here; a browser of 2023 or later is needed. (${error.message})`;
});
