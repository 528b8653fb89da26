// What stands beside the graph: arrays, and the panel of each kind of step.

// ---------------------------------------------------------------- arrays

function showArray(heading, array) {
  const parts = [make("h3", {}, heading)];
  if (array.values && array.values.length <= 64) parts.push(tableOf(array));
  else {
    parts.push(statistics(array));
    if (array.picture) parts.push(isImage(array) ? image(array.picture, array.shape) : heatmap(array));
  }
  return parts;
}

function tableOf(array) {
  const last = array.shape.length ? array.shape[array.shape.length - 1] || 1 : 1, rows = [];
  const columns = array.shape.length === 1 ? Math.min(last, 4) : last;  // a long vector goes on in the next row
  for (let i = 0; i < array.values.length; i += columns)
    rows.push(make("tr", {}, ...array.values.slice(i, i + columns).map((x) => make("td", {}, number(x)))));
  return make("div", { class: "wide" }, make("table", { "aria-label": `array of shape ${shape(array.shape)}` }, ...rows),
    make("p", {}, `${shape(array.shape)} ${array.dtype}`));
}

function statistics(array) {
  const facts = { shape: `${shape(array.shape)} ${array.dtype}` };
  if (array.smallest !== null) Object.assign(facts, { range: `${number(array.smallest)} to ${number(array.largest)}`,
    mean: `${number(array.mean)} ± ${number(array.std)}`, zeros: array.zeros });  // of what is finite, if anything is
  if (array.nans) facts.NaN = array.nans;
  if (array.infinities) facts.inf = array.infinities;
  return make("dl", {}, ...Object.entries(facts).flatMap(([name, fact]) => [make("dt", {}, name), make("dd", {}, String(fact))]));
}

function paint(picture, colourOf, label) {
  const columns = picture[0].length, pixel = Math.max(3, Math.min(12, Math.floor(280 / columns)));
  const canvas = make("canvas", { width: columns * pixel, height: picture.length * pixel, role: "img", "aria-label": label });
  const pen = canvas.getContext("2d");
  picture.forEach((row, y) => row.forEach((value, x) => {
    pen.fillStyle = colourOf(value);
    pen.fillRect(x * pixel, y * pixel, pixel, pixel);
  }));
  return make("div", {}, canvas, make("p", {}, label));
}

function heatmap({ picture, shape: sides }) {
  const most = Math.max(...picture.flat().map(Math.abs)) || 1;
  const colourOf = (value) => {
    const part = Math.round(255 * (1 - Math.abs(value) / most));
    return value < 0 ? `rgb(${part},${part},255)` : `rgb(255,${part},${part})`;
  };
  const [height, width] = [1, ...sides].slice(-2), stacked = sides.length - 2;
  const which = stacked > 0 ? `[${Array(stacked).fill(0).join(", ")}] of it, ` : "";
  const blocks = height === picture.length && width === picture[0].length ? "" : "; means of blocks";
  return paint(picture, colourOf, `${which}from ${number(-most)} (blue) over 0 (white) to ${number(most)} (red)${blocks}`);
}

// A stack of upright pictures, none of which is negative: grey says more than a scale that is symmetric around 0.
const isImage = ({ shape: [...sides], smallest }) => sides.length > 2 && Math.min(...sides.slice(-2)) >= 8 && smallest !== null && smallest >= 0;

function image(picture, sides) {
  const most = Math.max(...picture.flat()) || 1;
  const colourOf = (value) => { const grey = Math.round(255 * value / most); return `rgb(${grey},${grey},${grey})`; };
  return paint(picture, colourOf, `the first image of ${shape(sides)}, from 0 (black) to ${number(most)} (white)`);
}

// ---------------------------------------------------------------- the panel

function panel(step) {
  return { forward: panelForward, seed: panelSeed, complete: panelComplete, contribution: panelContribution }[step.kind](step);
}

function panelForward(step) {
  const made = tensors[step.tensor];
  const written = step.call.map((part) => typeof part === "number" ? tensors[part].name : part).join("");
  const parts = [make("h2", {}, `${made.name} = ${made.operation}(${written})`)];
  if (made.scope) parts.push(make("p", {}, `in module ${made.scope}`));
  if (made.time) parts.push(make("p", {}, `recorded at time ${made.time}`));
  parts.push(...why(step), ...showArray("value", made.value));
  const given = new Set(into[step.tensor].map((edge) => tensors[edge.source]));
  for (const input of given) if (input.kind !== "result") parts.push(...showArray(`${input.kind} ${input.name}`, input.value));
  return parts;
}

function panelSeed(step) {
  const byItself = alike(step.gradient.values, [1]);
  return [make("h2", {}, `The backward pass begins at ${tensors[step.tensor].name}`),
    make("p", {}, byItself ? "The gradient of the result with respect to itself:" : "The gradient that the pass was given:"),
    ...showArray("gradient", step.gradient)];
}

function panelComplete(step) {
  const { name, kind, time } = tensors[step.tensor];
  const parts = [make("h2", {}, `The gradient of ${name} is complete`)];
  const next = steps.slice(at + 1).find((s) => s.sweep === step.sweep);
  const goesOn = next && next.kind === "contribution" && edges[next.edge].target === step.tensor;
  if (!step.is_end)
    parts.push(make("p", {}, `It has its turn now: of all that wait, it was recorded last (time ${time}), so nothing more can arrive.`));
  if (!goesOn) parts.push(make("p", {}, ending(step, kind)));
  parts.push(...why(step));
  if (step.was_changed) parts.push(...showArray("what had arrived, before a hook changed it", step.arrived));
  return [...parts, ...showArray(derivative(name), step.gradient)];
}

function ending({ is_end, tensor }, kind) {
  if (is_end) return kind === "result" ? "The pass was asked for this gradient, and goes no further here."
    : "A leaf: the pass ends here. backward() adds this to its .grad, and grad() returns it.";
  return into[tensor].some((edge) => edge.rule) ? "Nothing was passed on: the pass was broken off here."
    : "It was computed from nothing that requires gradients, so nothing is passed on.";
}

function panelContribution(step) {
  const edge = edges[step.edge], child = tensors[edge.target], parent = tensors[edge.source];
  const parts = [make("h2", {}, `${child.name} passes back to ${parent.name}`), ...showRule(edge, child), ...why(step),
    ...showArray(`incoming: ${derivative(child.name)}`, step.incoming), ...showArray("what the rule returns", step.raw)];
  if (step.axes.length) parts.push(make("p", { class: "reduction" }, reduction(step)));
  if (step.cast) parts.push(make("p", { class: "reduction" }, `cast from ${step.cast[0]} to ${step.cast[1]}`));
  if (step.axes.length || step.cast) parts.push(...showArray("what arrives", step.contribution));
  if (step.before) parts.push(...showArray("the sum before", step.before), ...showArray("the sum after", step.after));
  parts.push(make("p", {}, `arrival: ${ordinal(step.arrival)} of ${arrivals(edge.source, step.sweep)} at ${parent.name}`));
  return edge.verdict ? [...parts, ...showVerdict(edge.verdict)] : parts;
}

function showRule({ rule, position }, child) {
  const line = child.place ? `, line ${child.place.line} of ${child.place.file.split(/[\\/]/).pop()}` : "";
  const heading = make("p", {}, `the rule of ${child.operation}${line}, for its input ${position}:`);
  if (!rule) return [heading];
  const names = { grad: derivative(child.name), out: child.name, ...rule.names };
  const words = new Set(rule.source.match(/\p{XID_Continue}+/gu)), used = Object.entries(names).filter(([name]) => words.has(name));
  return [heading, make("pre", {}, rule.source),
    make("dl", {}, ...used.flatMap(([name, is]) => [make("dt", {}, name), make("dd", {}, is)]))];
}

function showVerdict({ verdict, reason, analytic, numeric, error }) {
  const why = reason ? `: ${reason}` : "";
  const numbers = numeric === null ? "" : `: the rule says ${number(analytic)}, differences say ${number(numeric)} ± ${number(error)}`;
  return [make("h3", {}, "numerical check"), make("p", { class: verdict }, verdict + why + numbers)];
}

// How often something arrives at a tensor in a backward pass; there may be several passes.
const arrivals = (tensor, sweep) =>
  steps.filter((step) => step.kind === "contribution" && step.sweep === sweep && tensorOf(step) === tensor).length;

const reduction = (step) => `${shape(step.raw.shape)} → sum over ${step.axes.length === 1 ? "axis" : "axes"} ` +
  `${step.axes.join(", ")} → ${shape(step.contribution.shape)}: broadcasting had repeated it`;

const why = (step) => (step.why || []).map((text) => make("p", {}, `Why: ${text}`));
