// The network: a module of WebAssembly, and the memory it works in.
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function joined(begin, rest) {
  const bytes = new Uint8Array(begin.length + rest.length);
  bytes.set(begin);
  bytes.set(rest, begin.length);
  return bytes;
}

class Network {
  // The module with vector instructions where they are understood, else the plain one.
  static async load(logitScale) {
    const [simd, plain, rest] = await Promise.all(["simd", "plain", "rest"].map(unpacked));
    const fast = joined(simd, rest), isFast = WebAssembly.validate(fast);
    const { instance } = await WebAssembly.instantiate(isFast ? fast : joined(plain, rest));
    return new Network(instance.exports, isFast, logitScale);
  }

  constructor(exports, isFast, logitScale) {
    Object.assign(this, { exports, isFast, logitScale, end: exports.__heap_base.value });
    const sizes = this.take(7 * 4);
    exports.apot_sizes(sizes);
    [this.channels, this.height, this.width, this.classes, this.logitBits, this.arenaBytes] = new Uint32Array(
      exports.memory.buffer, sizes, 7);
    this.layers = [...Array(exports.apot_layer_count(0)).keys()].map((n) => ({
      name: this.text(exports.apot_layer_name(0, n)),
      shape: [0, 1, 2].map((dimension) => exports.apot_layer_size(0, n, dimension)),
    }));
    this.codesCount = this.layers.reduce((sum, { shape }) => sum + shape[0] * shape[1] * shape[2], 0);
    this.arena = this.take(this.arenaBytes);
    this.pixels = this.take(this.channels * this.height * this.width);
    this.logits = this.take((this.classes * this.logitBits) / 8);
    this.codes = this.take(this.codesCount);
  }

  // Begin of so many bytes behind those that are taken already.
  take(count) {
    const begin = (this.end + 63) & ~63, { memory } = this.exports;
    this.end = begin + count;
    const missing = this.end - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    return begin;
  }

  bytes(begin, count) {
    return new Uint8Array(this.exports.memory.buffer, begin, count);
  }

  text(begin) {
    const bytes = this.bytes(begin);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }

  readLogits() {
    const kind = this.logitBits === 32 ? Int32Array : BigInt64Array;
    return Array.from(new kind(this.exports.memory.buffer, this.logits, this.classes), Number);
  }

  checked(status) {
    if (status) throw new Error(`the network can't be run: error ${status}`);
  }

  // Logits, and by how many milliseconds they take: clocks of browsers are coarse, so several runs are timed.
  classify(pixels, atLeast = 0) {
    this.bytes(this.pixels, pixels.length).set(pixels);
    const begin = performance.now();
    let runs = 0, passed;
    do {
      this.checked(this.exports.apot_classify_batch(this.pixels, 1, this.logits, this.arena, this.arenaBytes));
      runs++;
      passed = performance.now() - begin;
    } while (passed < atLeast);
    return { logits: this.readLogits(), milliseconds: passed / runs };
  }

  // The codes that each layer reads: [{name, shape: [channels, height, width], codes}].
  inspect(pixels) {
    this.bytes(this.pixels, pixels.length).set(pixels);
    this.checked(this.exports.apot_codes(this.pixels, this.logits, this.arena, this.arenaBytes, this.codes));
    let begin = this.codes;
    return this.layers.map(({ name, shape }) => {
      const codes = this.bytes(begin, shape[0] * shape[1] * shape[2]).slice();
      begin += codes.length;
      return { name, shape, codes };
    });
  }

  probabilities(logits) {
    const largest = Math.max(...logits);
    const powers = logits.map((logit) => Math.exp((logit - largest) * this.logitScale));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
  }
}
