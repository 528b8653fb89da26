"use strict";
// From a photo to the pixels that a network knows, by the steps of nn/fashion/photo.py, under the same names. A picture
// is {width, height, data} as a canvas gives it, four bytes a pixel, the fourth of which is not looked at.

/** All of a photo, made grey and brought to a size, and nothing else: light stays light. */
function readWhole({ width, height, data }, { SIZE: [rows, columns] }) {
  const grey = Float32Array.from({ length: width * height }, (_, i) =>
    (19595 * data[4 * i] + 38470 * data[4 * i + 1] + 7471 * data[4 * i + 2] + 2 ** 15) >> 16);  // as Pillow has it
  const box = [0, 0, width, height];
  return { pixels: Uint8Array.from(resized(grey, width, box, columns, rows, halfUp)), box, warnings: [] };
}

function readPhoto(photo, steps) {
  const picture = thumbnail(photo, steps.WORKING), { width, height } = picture, count = width * height;
  const { ground, spread, plain } = background(picture, steps);
  const tolerance = Math.min(Math.max(4 * spread, steps.FAINTEST), steps.STRONGEST);
  const far = distances(picture.data, ground, count), blurredFar = distances(blurred(picture), ground, count);
  const differs = far.map((distance, i) => distance > tolerance && blurredFar[i] > tolerance);
  const { kept, others } = largestObject(differs, width, height, steps);
  const places = kept.reduce((found, is, i) => { if (is) found.push(i); return found; }, []);
  if (!places.length) throw new Error("there is no garment to be seen: nothing differs from the background");
  const box = boundingBox(places, width);
  const light = ground.reduce((sum, value) => sum + value, 0) / ground.length > 127;
  const bright = new Float32Array(count);
  for (const i of places) {
    const [red, green, blue] = picture.data.subarray(4 * i, 4 * i + 3), grey = 0.299 * red + 0.587 * green + 0.114 * blue;
    bright[i] = light ? 255 - grey : grey;
  }
  const contrast = places.reduce((sum, i) => sum + far[i], 0) / places.length;
  const warnings = doubts(box, picture, others, plain, contrast, Math.max(...steps.SIZE));
  return { pixels: shrunk(bright, width, box, steps), picture, box, warnings };
}

// ---------------------------------------------------------------- finding

/** The largest difference among the three colours of each pixel. */
function distances(colours, ground, count) {
  const result = new Float32Array(count);
  for (let i = 0; i < count; i++) for (let k = 0; k < 3; k++) {
    result[i] = Math.max(result[i], Math.abs(colours[4 * i + k] - ground[3 * i + k]));
  }
  return result;
}

function background({ width, height, data }, { FAINTEST }) {
  const edge = Math.max(1, Math.floor(Math.min(width, height) / 40)), places = [], colours = [];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    if (Math.min(y, height - 1 - y, x, width - 1 - x) >= edge) continue;
    places.push([1, y / height, x / width]);
    colours.push(Array.from(data.subarray(4 * (y * width + x), 4 * (y * width + x) + 3)));
  }
  const middle = [0, 1, 2].map((k) => median(colours.map((colour) => colour[k])));
  let plane = [middle, [0, 0, 0], [0, 0, 0]], spread, near;
  for (let round = 0; round < 4; round++) {
    const distance = places.map((place, i) => Math.max(...at(plane, place).map((guess, k) => Math.abs(colours[i][k] - guess))));
    spread = 1.4826 * median(distance);
    near = places.map((_, i) => i).filter((i) => distance[i] <= Math.max(FAINTEST, 3 * spread));
    plane = leastSquares(near.map((i) => places[i]), near.map((i) => colours[i]));
  }
  const ground = new Float32Array(3 * width * height);
  for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++) for (const value of at(plane, [1, y / height, x / width])) {
    ground[i++] = Math.min(Math.max(value, 0), 255);
  }
  return { ground, spread, plain: near.length / places.length > 0.6 && spread < 12 };
}

/** The three colours of a plane at a place. */
const at = (plane, place) => [0, 1, 2].map((k) => place[0] * plane[0][k] + place[1] * plane[1][k] + place[2] * plane[2][k]);

function median(numbers) {
  const sorted = Float64Array.from(numbers).sort(), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The plane with the least squares of distances, by its normal equations; a touch of damping keeps them solvable. */
function leastSquares(places, colours) {
  const rows = [0, 1, 2].map((a) => [
    ...[0, 1, 2].map((b) => places.reduce((sum, place) => sum + place[a] * place[b], 0) + (a === b ? 1e-9 : 0)),
    ...[0, 1, 2].map((k) => places.reduce((sum, place, i) => sum + place[a] * colours[i][k], 0)),
  ]);
  for (let a = 0; a < 3; a++) for (let b = 0; b < 3; b++) if (a !== b) {
    const factor = rows[b][a] / rows[a][a];
    rows[b] = rows[b].map((value, k) => value - factor * rows[a][k]);
  }
  return rows.map((row, a) => row.slice(3).map((value) => value / row[a]));
}

function blurred({ width, height, data }) {
  const result = new Float32Array(data.length);
  const inside = (i, length) => Math.min(Math.max(i, 0), length - 1);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) for (let k = 0; k < 3; k++) {
    let sum = 0;
    for (let i = -1; i <= 1; i++) for (let j = -1; j <= 1; j++) {
      sum += data[4 * (inside(y + i, height) * width + inside(x + j, width)) + k];
    }
    result[4 * (y * width + x) + k] = sum / 9;
  }
  return result;
}

function largestObject(differs, width, height, { CELLS }) {
  const cell = Math.ceil(Math.max(width, height) / CELLS), w = Math.ceil(width / cell), h = Math.ceil(height / cell);
  const cellOf = (i) => Math.floor(Math.floor(i / width) / cell) * w + Math.floor(i % width / cell);
  const counts = new Float64Array(w * h);
  differs.forEach((is, i) => { counts[cellOf(i)] += is; });
  const labels = connected(counts, w, h), sizes = new Float64Array(w * h + 1);
  labels.forEach((label, i) => { if (label) sizes[label] += counts[i]; });
  const largest = sizes.indexOf(Math.max(...sizes));
  const [left, top, right, bottom] = boundingBox([...labels.keys()].filter((i) => largest && labels[i] === largest), w);
  const inside = new Set();
  for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) inside.add(labels[y * w + x]);
  inside.delete(0);
  let object = 0, others = 0;
  sizes.forEach((size, label) => { if (inside.has(label)) object += size; else others = Math.max(others, size); });
  const kept = Array.from(differs, (is, i) => Boolean(is) && inside.has(labels[cellOf(i)]));
  return { kept, others: others / Math.max(object, 1) };
}

/** The number of its last cell, counted from 1, for each group of cells that touch, at corners too; 0 where there is none. */
function connected(counts, w, h) {
  const labels = new Int32Array(w * h);
  for (let start = w * h - 1; start >= 0; start--) {
    const waiting = counts[start] && !labels[start] ? [start] : [];
    for (const i of waiting) labels[i] = start + 1;
    while (waiting.length) {
      const i = waiting.pop(), x = i % w, y = (i - x) / w;
      for (let b = Math.max(y - 1, 0); b <= Math.min(y + 1, h - 1); b++) for (let a = Math.max(x - 1, 0); a <= Math.min(x + 1, w - 1); a++) {
        if (!counts[b * w + a] || labels[b * w + a]) continue;
        labels[b * w + a] = start + 1;
        waiting.push(b * w + a);
      }
    }
  }
  return labels;
}

/** Left, top, right, bottom of the smallest box that has all these places; of none the first pixel. */
function boundingBox(places, width) {
  if (!places.length) return [0, 0, 1, 1];
  let [left, top, right, bottom] = [Infinity, Infinity, 0, 0];
  for (const i of places) {
    const x = i % width, y = Math.floor(i / width);
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
  }
  return [left, top, right, bottom];
}

// ---------------------------------------------------------------- reducing

function shrunk(bright, width, box, { SIZE: [rows, columns], SHARPENING }) {
  const [left, top, right, bottom] = box, found = [right - left, bottom - top];
  const [room, side] = found[0] / columns > found[1] / rows ? [columns, found[0]] : [rows, found[1]];
  const [w, h] = found.map((n) => Math.max(1, rounded(n * room / side)));  // the tighter side fills its room
  const small = resized(bright, width, box, w, h);
  const sharp = sharpened(small.map((value) => Math.min(halfUp(value), 255)), w, h, SHARPENING);
  const pixels = new Uint8Array(rows * columns), row = rows - h + 1 >> 1, column = columns - w + 1 >> 1;
  small.forEach((value, i) => { if (value > 0) pixels[(row + Math.floor(i / w)) * columns + column + i % w] = sharp[i]; });
  return pixels;
}

/** What is in a box of numbers in rows of `width`, as h rows of w, each a mean; Pillow rounds bytes after each axis. */
function resized(numbers, width, [left, top, right, bottom], w, h, round = Number) {
  const rows = [];
  for (let y = top; y < bottom; y++) rows.push(means(numbers.subarray(y * width + left, y * width + right), w).map(round));
  const columns = Array.from({ length: w }, (_, x) => means(rows.map((row) => row[x]), h).map(round));
  return Array.from({ length: w * h }, (_, i) => columns[i % w][Math.floor(i / w)]);
}

const halfUp = (x) => Math.floor(x + 0.5);

/** To the nearest integer, half ways to the even one, as NumPy does. */
function rounded(x) {
  const down = Math.floor(x);
  return x - down === 0.5 ? down + down % 2 : Math.round(x);
}

/** So many means of equal spans; each number counts for the span that its middle is in, as in Pillow's box filter. */
function means(numbers, parts) {
  const scale = numbers.length / parts, reach = Math.max(scale, 1) / 2;
  return Array.from({ length: parts }, (_, i) => {
    const middle = (i + 0.5) * scale, first = Math.max(0, Math.floor(middle - reach + 0.5));
    const end = Math.min(numbers.length, Math.floor(middle + reach + 0.5));
    let sum = 0, count = 0;
    for (let k = first; k < end; k++) {
      const place = (k - middle + 0.5) / (2 * reach);
      if (place > -0.5 && place <= 0.5) { sum += numbers[k]; count++; }
    }
    return sum / count;
  });
}

/** Bytes away from their blurred picture, as Pillow's unsharp mask does it: a Gauss curve is three small boxes each way. */
function sharpened(values, w, h, percent) {
  const one = 2 ** 24, inner = Math.round(one / 1.5), outer = Math.floor((one - inner) / 2);  // in fixed point, for the same rounding
  const line = (numbers) => numbers.map((value, i) => {
    const beside = numbers[Math.max(i - 1, 0)] + numbers[Math.min(i + 1, numbers.length - 1)];
    return Math.floor((inner * value + outer * beside + one / 2) / one);
  });
  const thrice = (numbers) => line(line(line(numbers)));
  const rows = Array.from({ length: h }, (_, y) => thrice(values.slice(y * w, (y + 1) * w)));
  const columns = Array.from({ length: w }, (_, x) => thrice(rows.map((row) => row[x])));
  return values.map((value, i) => {
    const difference = value - columns[i % w][Math.floor(i / w)];
    return Math.min(Math.max(value + Math.trunc(difference * percent / 100), 0), 255);
  });
}

/** A picture no longer than `longest`, each pixel the mean of those that it stands for. */
function thumbnail({ width, height, data }, longest) {
  if (Math.max(width, height) <= longest) return { width, height, data };
  const [w, h] = thumbnailSize(width, height, longest), result = new Uint8ClampedArray(4 * w * h).fill(255);
  for (let k = 0; k < 3; k++) {
    const colour = new Uint8Array(width * height);
    for (let i = 0; i < colour.length; i++) colour[i] = data[4 * i + k];
    resized(colour, width, [0, 0, width, height], w, h, halfUp).forEach((value, i) => { result[4 * i + k] = value; });
  }
  return { width: w, height: h, data: result };
}

/** The shorter side is whichever whole number of pixels keeps the ratio best. */
function thumbnailSize(width, height, longest) {
  const ratio = width / height, best = (x, error) => Math.max(1, error(Math.floor(x)) <= error(Math.ceil(x)) ? Math.floor(x) : Math.ceil(x));
  return ratio <= 1 ? [best(longest * ratio, (n) => Math.abs(ratio - n / longest)), longest]
    : [longest, best(longest / ratio, (n) => n ? Math.abs(ratio - longest / n) : 0)];
}

function doubts([left, top, right, bottom], { width, height }, others, plain, contrast, side) {
  const share = (right - left) * (bottom - top) / (width * height);
  const touches = [left === 0, top === 0, right === width, bottom === height].filter(Boolean).length;
  return [
    ["the background is not plain: lay the garment on a sheet or a floor of one colour", !plain],
    ["the garment fills the photo: leave some background around it", plain && touches >= 3],
    ["the garment is very small in the photo: go closer", share < 0.01 || Math.max(right - left, bottom - top) < side],
    ["the garment hardly differs from the background: choose another one", contrast < 30],
    ["there are several things in the photo: the largest one was taken", others > 0.1],
  ].filter(([, isTrue]) => isTrue).map(([sentence]) => sentence);
}
