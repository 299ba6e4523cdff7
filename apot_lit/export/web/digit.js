// Makes of a drawing what the digits of MNIST are: 20 pixels high or wide, centred on its mass.
const SIZE = 28, BOX = 20, FAINT = 0.2 * 255;

// Half to even, so that every pixel is what Python makes of the same drawing.
const rounded = (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

const filters = {
  box: { reach: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  triangle: { reach: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
};

// Scales a line of `length` values, `step` apart, to `size` values.
function scaleLine(from, begin, step, length, size, filter) {
  const factor = length / size, wide = Math.max(factor, 1), line = new Float64Array(size);
  for (let n = 0; n < size; n++) {
    const middle = (n + 0.5) * factor;
    const first = Math.max(0, Math.trunc(middle - filter.reach * wide + 0.5));
    const last = Math.min(length, Math.trunc(middle + filter.reach * wide + 0.5));
    let sum = 0, weights = 0;
    for (let i = first; i < last; i++) {
      const weight = filter.weight((i - middle + 0.5) / wide);
      sum += weight * from[begin + i * step];
      weights += weight;
    }
    line[n] = sum / weights;
  }
  return line;
}

function scaled(ink, box, width, height) {
  const filter = height < box.height || width < box.width ? filters.box : filters.triangle;
  const across = new Float64Array(width * box.height), out = new Float64Array(width * height);
  for (let y = 0; y < box.height; y++)
    across.set(scaleLine(ink.values, (box.top + y) * ink.width + box.left, 1, box.width, width, filter), y * width);
  for (let x = 0; x < width; x++)
    scaleLine(across, x, width, box.height, height, filter).forEach((value, y) => (out[y * width + x] = value));
  return out;
}

function boxOf(ink) {
  let left = ink.width, right = -1, top = ink.height, bottom = -1;
  for (let y = 0, i = 0; y < ink.height; y++)
    for (let x = 0; x < ink.width; x++, i++)
      if (ink.values[i] > FAINT) {
        left = Math.min(left, x);
        right = Math.max(right, x);
        top = Math.min(top, y);
        bottom = y;
      }
  return right < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

// Where a digit begins whose centre of mass is to lie in the middle, as far as it stays within the image.
function beginOf(masses) {
  let total = 0, moment = 0;
  masses.forEach((mass, n) => {
    total += mass;
    moment += mass * (n + 0.5);
  });
  return Math.min(Math.max(rounded(SIZE / 2 - moment / total), 0), SIZE - masses.length);
}

// Ink 0 to 255, {values, width, height}, to 784 pixels; null if there is none.
function asDigit(ink) {
  const strongest = ink.values.reduce((a, b) => Math.max(a, b), 0);
  const stretched = { ...ink, values: Float64Array.from(ink.values, (value) => rounded(value * (255 / strongest))) };
  const box = strongest ? boxOf(stretched) : null;
  if (!box) return null;
  const factor = BOX / Math.max(box.width, box.height);
  const width = Math.max(1, rounded(box.width * factor)), height = Math.max(1, rounded(box.height * factor));
  let digit = scaled(stretched, box, width, height);
  const most = digit.reduce((a, b) => Math.max(a, b), 0);
  digit = digit.map((value) => rounded(value * (255 / most)));
  const rows = new Float64Array(height), columns = new Float64Array(width);
  digit.forEach((value, i) => {
    rows[Math.trunc(i / width)] += value;
    columns[i % width] += value;
  });
  const top = beginOf(rows), left = beginOf(columns), pixels = new Uint8Array(SIZE * SIZE);
  for (let y = 0; y < height; y++)
    pixels.set(digit.subarray(y * width, (y + 1) * width), (top + y) * SIZE + left);
  return pixels;
}
