"use strict";
// A network of plain layers, see nn/fashion/network.py. What flows is a Float32Array; its shapes are told by the layers.

/** The bytes that a text in base64 stands for. */
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** A number in half precision (IEEE 754, binary16) from its sixteen bits. */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

/** The layers with their parameters in place of where these lie. */
function unpacked(layers, bytes) {
  const parameter = ({ start, count, scale }) =>
    Float32Array.from({ length: count }, (_, i) => scale * half(bytes[2 * (start + i)] | bytes[2 * (start + i) + 1] << 8));
  return layers.map((layer) => ({
    ...layer,
    ...(layer.weight && { weight: parameter(layer.weight) }),
    ...(layer.bias && { bias: parameter(layer.bias) }),
    ...(layer.ways && { ways: layer.ways.map((way) => unpacked(way, bytes)) }),
  }));
}

/** What the layers make of x. */
const through = (layers, x) => layers.reduce((result, layer) => LAYERS[layer.kind](result, layer), x);

const LAYERS = {
  linear(x, { weight, bias, out: [outputs] }) {
    const result = new Float32Array(outputs), inputs = x.length;
    for (let o = 0; o < outputs; o++) {
      let sum = bias ? bias[o] : 0;
      for (let i = 0, at = o * inputs; i < inputs; i++, at++) sum += weight[at] * x[i];
      result[o] = sum;
    }
    return result;
  },

  convolution(x, { weight, bias, kernel: [high, wide], stride, before, after, in: [channels, h, w], out: [outputs, rows, columns] }) {
    const height = h + before[0] + after[0], width = w + before[1] + after[1];
    const padded = new Float32Array(channels * height * width);
    for (let c = 0; c < channels; c++) for (let i = 0; i < h; i++) {
      padded.set(x.subarray((c * h + i) * w, (c * h + i + 1) * w), (c * height + i + before[0]) * width + before[1]);
    }
    const result = new Float32Array(outputs * rows * columns);
    for (let o = 0, at = 0; o < outputs; o++) {
      const plane = result.subarray(o * rows * columns, (o + 1) * rows * columns);
      if (bias) plane.fill(bias[o]);
      for (let c = 0; c < channels; c++) for (let i = 0; i < high; i++) for (let j = 0; j < wide; j++) {
        const factor = weight[at++];
        for (let row = 0, to = 0; row < rows; row++) {
          let from = (c * height + row * stride[0] + i) * width + j;
          for (let column = 0; column < columns; column++, to++, from += stride[1]) plane[to] += factor * padded[from];
        }
      }
    }
    return result;
  },

  affine(x, { weight, bias }) {  // a factor and a summand for each channel: batch norm, after training
    const size = x.length / weight.length;
    return x.map((value, i) => value * weight[Math.floor(i / size)] + bias[Math.floor(i / size)]);
  },

  maxPool: (x, layer) => windows(x, layer, (i, axis) => [i * layer.stride[axis], i * layer.stride[axis] + layer.kernel[axis]],
    (values) => values.reduce((most, value) => Math.max(most, value))),

  meanPool: (x, layer) => windows(x, layer, (i, axis) => {
    const length = layer.in[axis + 1], parts = layer.out[axis + 1];
    return [Math.floor(i * length / parts), Math.ceil((i + 1) * length / parts)];
  }, (values) => values.reduce((sum, value) => sum + value) / values.length),

  residual(x, { ways: [way, shortcut] }) {
    const change = through(way, x), kept = shortcut ? through(shortcut, x) : x;
    return change.map((value, i) => value + kept[i]);
  },

  mirrorAverage(x, { ways: [way], in: shape }) {  // the logarithms of mean probabilities
    const width = shape.at(-1), mirrored = x.map((_, i) => x[i - i % width + width - 1 - i % width]);
    const left = softmax(through(way, x)), right = softmax(through(way, mirrored));
    return Float32Array.from(left, (share, i) => Math.log((share + right[i]) / 2));
  },

  relu: (x) => x.map((value) => Math.max(value, 0)),
  sigmoid: (x) => x.map((value) => 1 / (1 + Math.exp(-value))),
  gelu: (x) => x.map((value) => value * (1 + erf(value * Math.SQRT1_2)) / 2),
};

/** One number for each window of each channel; `span` tells from where to where the i-th one goes along an axis. */
function windows(x, { in: [channels, h, w], out: [, rows, columns] }, span, reduce) {
  const result = new Float32Array(channels * rows * columns);
  for (let c = 0, at = 0; c < channels; c++) for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
    const [top, bottom] = span(row, 0), [left, right] = span(column, 1), values = [];
    for (let i = top; i < bottom; i++) for (let j = left; j < right; j++) values.push(x[(c * h + i) * w + j]);
    result[at++] = reduce(values);
  }
  return result;
}

/** The error function to seven digits. Source: Abramowitz and Stegun, 1964, 7.1.26. */
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - sum * Math.exp(-x * x));
}

function softmax(x) {
  const most = x.reduce((a, b) => Math.max(a, b)), powers = Array.from(x, (value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}
