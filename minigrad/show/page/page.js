"use strict";
// The stepper: one trace, shown step by step. `at` is the current step; everything on the page follows from it.

const trace = JSON.parse(document.getElementById("trace").textContent);
const { tensors, edges, steps, drawings, files } = trace;
const byId = (id) => document.getElementById(id);
let at = 0, drawn = trace.start, level = Math.min(trace.start, trace.levels - 1), playing = null;
let groups = { boxes: [], arrows: [] };  // the elements of the drawing, in its order
const score = { right: 0, wrong: 0 };
const answered = new Map();  // step -> how many of its questions are settled, by an answer or by "show me"

// ---------------------------------------------------------------- small helpers

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "rect", "text", "title"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const shape = (of) => "(" + of.join(", ") + (of.length === 1 ? ",)" : ")");
const number = (x) => typeof x === "number" ? String(Number(x.toPrecision(6))) : String(x);
const ordinal = (n) => n + (n % 100 - n % 10 === 10 ? "th" : ["th", "st", "nd", "rd"][n % 10] || "th");
const alike = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// ---------------------------------------------------------------- the graph

function draw() {
  const { boxes, arrows, frames, caption, size: [width, height] } = drawings[drawn];
  const svg = make("svg", { viewBox: `-14 -14 ${width + 28} ${height + 28}`, width: width + 28, height: height + 28,
                            role: "group", "aria-label": "the graph, from its inputs down to its result" });
  groups = { arrows: arrows.map(drawArrow), boxes: boxes.map(drawBox) };
  const labels = frames.map(drawLabel);
  svg.append(...frames.map(drawFrame), ...groups.arrows, ...labels, ...groups.boxes);
  byId("graph").replaceChildren(svg, ...(caption ? [make("p", { class: "caption" }, caption)] : []));
  byId("detail").hidden = trace.levels === 1;
  for (const button of document.querySelectorAll("[data-detail]")) {
    const next = level + Number(button.dataset.detail);
    button.disabled = (next < 0 || next >= trace.levels) && drawn === level;
  }
}

// Another drawing: with a frame unfolded or folded, which keeps the focus, or of another level.
function switchTo(drawing, frame) {
  drawn = drawing;
  draw();
  colour();
  const part = document.querySelector(`[data-frame="${frame}"]`);
  if (!part) return;
  part.focus({ preventScroll: true });
  bringIntoView(part);
}

// What is clicked like a button, with a key too.
function pressable(group, press) {
  group.addEventListener("click", press);
  group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    press();
  } });
  return group;
}

function drawBox(box, i) {
  const [x, y, width, height] = box.place, unfolds = box.to !== null;
  const group = make("g", { class: `box ${box.kind}`, "data-box": i, tabindex: 0, role: "button",
                            "aria-label": `${box.name}, ${box.facts}`,
                            ...(unfolds ? { "aria-expanded": false, "data-frame": box.frame } : {}) },
    make("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: ["result", "folded"].includes(box.kind) ? 6 : height / 2 }),
    make("text", { x, y: y - 4, "font-weight": 600 }, (unfolds ? "+ " : "") + box.name),
    make("text", { x, y: y + 13, class: "facts" }, box.facts));
  return pressable(group, unfolds ? () => switchTo(box.to, box.frame) : () =>
    goToNext((step) => box.tensors.includes(tensorOf(step))) ||
    goToNext((step) => step.kind === "forward" && box.tensors.some((t) => uses(step.tensor, t))));  // a constant has no step
}

function drawFrame({ place: [x, y, width, height] }) {
  return make("rect", { x, y, width, height, rx: 10, class: "frame" });
}

function drawLabel({ frame, name, to, place: [x, y] }) {
  const text = make("text", { x: x + 14, y: y + 17 }, `− ${name}`);
  const label = make("g", { class: "label", "data-frame": frame, tabindex: 0, role: "button", "aria-expanded": true,
                            "aria-label": name }, text);
  return pressable(label, () => to !== null && switchTo(to, frame));
}

function drawArrow(arrow, i) {
  const [[startX, startY], ...rest] = arrow.points;
  let path = `M${startX} ${startY}`, [x, y] = [startX, startY];
  for (const [nextX, nextY] of rest) {
    const middle = (y + nextY) / 2;
    path += `C${x} ${middle} ${nextX} ${middle} ${nextX} ${nextY}`;
    [x, y] = [nextX, nextY];
  }
  const group = make("g", { class: "arrow", "data-arrow": i },
    make("path", { d: path, class: "reach" }), make("path", { d: path }),
    make("path", { d: `M${x - 4} ${y - 8}L${x} ${y}L${x + 4} ${y - 8}z`, class: "head ahead" }),
    make("path", { d: `M${startX - 4} ${startY + 8}L${startX} ${startY}L${startX + 4} ${startY + 8}z`, class: "head back" }));
  if (arrow.edges.length > 1) {
    group.append(make("title", {}, `${arrow.edges.length} edges`));
    group.append(make("text", { x: arrow.spot[0], y: arrow.spot[1], class: "facts" }, `×${arrow.edges.length}`));
  }
  group.addEventListener("click", () => goToNext((step) => arrow.edges.includes(step.edge)));
  return group;
}

let root = "";  // the tensor that the backward pass around the current step began at
const derivative = (name) => `∂${root}/∂${name}`;
const uses = (result, input) => edges.some((edge) => edge.target === result && edge.source === input);
const tensorOf = (step) => step.kind === "contribution" ? edges[step.edge].source : step.tensor;

function colour(until = at) {
  const step = steps[until], past = steps.slice(0, until + 1);
  const computed = new Set(past.filter((s) => s.kind === "forward").map((s) => s.tensor));
  const complete = new Set(past.filter((s) => s.kind === "complete").map((s) => s.tensor));
  const walked = new Set(past.filter((s) => s.kind === "contribution").map((s) => s.edge));
  drawings[drawn].boxes.forEach((box, i) => {
    const group = groups.boxes[i];
    group.classList.toggle("later", box.tensors.every((t) => tensors[t].kind === "result" && !computed.has(t)));
    group.classList.toggle("has", box.tensors.some((t) => complete.has(t)));
    group.classList.toggle("back", step.kind !== "forward");
    group.classList.toggle("now", box.tensors.includes(tensorOf(step)));
  });
  drawings[drawn].arrows.forEach((arrow, i) => {
    const group = groups.arrows[i];
    group.classList.toggle("done", arrow.edges.some((e) => walked.has(e)));
    group.classList.toggle("now", step.kind === "contribution" && arrow.edges.includes(step.edge));
    group.classList.toggle("wrong", arrow.edges.some((e) => edges[e].verdict && edges[e].verdict.verdict === "WRONG"));
  });
  for (const now of document.querySelectorAll(".arrow.now")) now.parentNode.insertBefore(now, document.querySelector(".box"));
  for (const now of document.querySelectorAll(".arrow.now, .box.now")) bringIntoView(now);
}

// Only the graph is scrolled: `scrollIntoView` would take a phone's reader away from the panel, at each step.
function bringIntoView(element) {
  const graph = byId("graph"), frame = graph.getBoundingClientRect(), part = element.getBoundingClientRect();
  const outside = (low, high, from, to) => low < from ? low - from - 10 : Math.max(0, Math.min(high - to + 10, low - from - 10));
  graph.scrollBy(outside(part.left, part.right, frame.left, frame.right), outside(part.top, part.bottom, frame.top, frame.bottom));
}

// ---------------------------------------------------------------- the source

function showSource(step) {
  const of = step.kind === "contribution" ? edges[step.edge].target : step.tensor;
  const place = tensors[of].place, pre = byId("source");
  pre.hidden = !place || !files[place.file];
  if (pre.hidden) return;
  const lines = files[place.file].map(([n, text]) => {
    const current = n === place.line;
    const line = make("span", { class: current ? "line current" : "line" }, make("i", {}, String(n).padStart(4) + "  "));
    if (current && place.columns) {
      const bytes = new TextEncoder().encode(text), cut = (a, b) => new TextDecoder().decode(bytes.slice(a, b));
      const [begin, end] = place.columns;
      line.append(cut(0, begin), make("mark", {}, cut(begin, end)), cut(end));
    } else line.append(text);
    return line;
  });
  pre.replaceChildren(...lines);
  const current = pre.querySelector(".current");
  if (current) pre.scrollTop = current.offsetTop - pre.offsetTop - pre.clientHeight / 2;
}

// ---------------------------------------------------------------- arrays

function showArray(heading, array) {
  const parts = [make("h3", {}, heading)];
  if (array.values && array.values.length <= 64) parts.push(tableOf(array));
  else {
    parts.push(statistics(array));
    if (array.picture) parts.push(isImage(array) ? image(array.picture, array.shape) : heatmap(array.picture));
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
  const facts = { shape: `${shape(array.shape)} ${array.dtype}`, range: `${number(array.smallest)} to ${number(array.largest)}`,
                  mean: `${number(array.mean)} ± ${number(array.std)}`, zeros: array.zeros };
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

function heatmap(picture) {
  const most = Math.max(...picture.flat().map(Math.abs)) || 1;
  const colourOf = (value) => {
    const part = Math.round(255 * (1 - Math.abs(value) / most));
    return value < 0 ? `rgb(${part},${part},255)` : `rgb(255,${part},${part})`;
  };
  return paint(picture, colourOf, `from ${number(-most)} (blue) over 0 (white) to ${number(most)} (red); means of blocks`);
}

// A stack of upright pictures, none of which is negative: grey says more than a scale that is symmetric around 0.
const isImage = ({ shape: [...sides], smallest }) => sides.length > 2 && Math.min(...sides.slice(-2)) >= 8 && smallest >= 0;

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
  const inputs = edges.filter((edge) => edge.target === step.tensor).map((edge) => tensors[edge.source].name);
  const parts = [make("h2", {}, `${made.name} = ${made.operation}(${inputs.join(", ")})`)];
  if (made.scope) parts.push(make("p", {}, `in module ${made.scope}`));
  if (made.time) parts.push(make("p", {}, `recorded at time ${made.time}`));
  parts.push(...why(step), ...showArray("value", made.value));
  const given = [...new Set(edges.filter((edge) => edge.target === step.tensor).map((edge) => tensors[edge.source]))];
  for (const input of given) if (input.kind !== "result") parts.push(...showArray(`${input.kind} ${input.name}`, input.value));
  return parts;
}

function panelSeed(step) {
  return [make("h2", {}, `The backward pass begins at ${tensors[step.tensor].name}`),
    make("p", {}, "The gradient of the result with respect to itself:"), ...showArray("gradient", step.gradient)];
}

function panelComplete(step) {
  const { name, kind, time } = tensors[step.tensor];
  const parts = [make("h2", {}, `The gradient of ${name} is complete`)];
  parts.push(make("p", {}, kind === "result"
    ? `It has its turn now: of all that wait, it was recorded last (time ${time}), so nothing more can arrive.`
    : "A leaf: this is what backward() leaves in its .grad."));
  parts.push(...why(step));
  if (!alike(step.arrived, step.gradient)) parts.push(...showArray("what had arrived, before a hook changed it", step.arrived));
  return [...parts, ...showArray(derivative(name), step.gradient)];
}

function panelContribution(step) {
  const edge = edges[step.edge], child = tensors[edge.target], parent = tensors[edge.source];
  const parts = [make("h2", {}, `${child.name} passes back to ${parent.name}`), ...showRule(edge, child), ...why(step),
    ...showArray(`incoming: ${derivative(child.name)}`, step.incoming), ...showArray("what the rule returns", step.raw)];
  if (step.axes.length) parts.push(make("p", { class: "reduction" }, reduction(step)));
  if (step.cast) parts.push(make("p", { class: "reduction" }, `cast from ${step.cast[0]} to ${step.cast[1]}`));
  if (step.axes.length || step.cast) parts.push(...showArray("what arrives", step.contribution));
  if (step.before) parts.push(...showArray("the sum before", step.before), ...showArray("the sum after", step.after));
  parts.push(make("p", {}, `arrival: ${ordinal(step.arrival)} of ${arrivals(edge.source)} at ${parent.name}`));
  return edge.verdict ? [...parts, ...showVerdict(edge.verdict)] : parts;
}

function showRule({ rule, position }, child) {
  const line = child.place ? `, line ${child.place.line} of ${child.place.file.split(/[\\/]/).pop()}` : "";
  const heading = make("p", {}, `the rule of ${child.operation}${line}, for its input ${position}:`);
  if (!rule) return [heading];
  const names = { grad: derivative(child.name), out: child.name, ...rule.names };
  const used = Object.entries(names).filter(([name]) => new RegExp(`\\b${name}\\b`).test(rule.source));
  return [heading, make("pre", {}, rule.source),
    make("dl", {}, ...used.flatMap(([name, is]) => [make("dt", {}, name), make("dd", {}, is)]))];
}

function showVerdict({ verdict, reason, analytic, numeric, error }) {
  const why = reason ? `: ${reason}` : "";
  const numbers = numeric === null ? "" : `: the rule says ${number(analytic)}, differences say ${number(numeric)} ± ${number(error)}`;
  return [make("h3", {}, "numerical check"), make("p", { class: verdict }, verdict + why + numbers)];
}

// How often something arrives at a tensor in the backward pass of the current step; there may be several passes.
function arrivals(tensor) {
  let begin = at, end = at;
  while (begin > 0 && steps[begin].kind !== "seed") begin -= 1;
  while (end < steps.length && (end === begin || steps[end].kind !== "seed")) end += 1;
  return steps.slice(begin, end).filter((step) => step.kind === "contribution" && tensorOf(step) === tensor).length;
}

const reduction = (step) => `${shape(step.raw.shape)} → sum over ${step.axes.length === 1 ? "axis" : "axes"} ` +
  `${step.axes.join(", ")} → ${shape(step.contribution.shape)}: broadcasting had repeated it`;

const why = (step) => (step.why || []).map((text) => make("p", {}, `Why: ${text}`));

// ---------------------------------------------------------------- predict, then see

// The questions of a step, in order. The graph and the source stay a step behind while one `hides` what it shows.
function questions(step) {
  if (step.kind === "contribution") return [...whichEdge(edges[step.edge]), whatArrives(step, edges[step.edge])];
  if (step.kind !== "complete" || tensors[step.tensor].kind !== "result") return [];
  return [{ ask: "Whose turn is it next? (its name)", answer: tensors[step.tensor].name, hides: true }];
}

function whichEdge({ target, source }) {
  const others = edges.filter((edge) => edge.target === target && edge.rule).map((edge) => edge.source);
  if (new Set(others).size < 2) return [];
  return [{ ask: `Along which edge next: to whom does ${tensors[target].name} pass something back? (a name)`,
            answer: tensors[source].name, hides: true }];
}

function whatArrives({ contribution, axes }, { target, source }) {
  const name = tensors[source].name;
  if (contribution.values && contribution.values.length === 1)
    return { ask: `What does ${tensors[target].name} pass back to ${name}?`, answer: contribution.values[0] };
  if (axes.length) return { ask: `Over which axes is the gradient for ${name} summed? (such as 0, 2)`, answer: axes.join(",") };
  return { ask: `Which shape does the gradient for ${name} have?`, answer: contribution.shape.join(",") };
}

const question = (i) => byId("predict").checked ? questions(steps[i])[answered.get(i) || 0] : undefined;
const settle = (i, count = (answered.get(i) || 0) + 1) => answered.set(i, count);

// What has been on the page is known: predictions begin after the current step.
function startToPredict() {
  answered.clear();
  if (byId("predict").checked) for (let i = 0; i <= at; i += 1) settle(i, Infinity);
  render();
}

// Nobody looks at the answer by going past a question.
function noFurtherThan(step) {
  for (let i = 0; i < step; i += 1) if (question(i)) return i;
  return step;
}

function isRight(typed, answer) {
  if (typeof answer === "number") return Math.abs(Number(typed) - answer) <= 1e-2 * Math.abs(answer) + 1e-9 && typed.trim() !== "";
  const clean = (text) => String(text).split(/[(),\s]+/).filter(Boolean).join(",").toLowerCase();
  return clean(typed) === clean(answer);
}

function askFirst(asked) {
  const answer = make("input", { type: "text", "aria-label": "your answer", autocomplete: "off" });
  const verdict = make("p", { role: "status" });
  const reveal = () => { settle(at); render(); };
  const form = make("form", { class: "question" }, make("p", {}, asked.ask), answer, make("button", {}, "check"), verdict,
    make("button", { type: "button", class: "tell" }, "show me"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const right = isRight(answer.value, asked.answer);
    score[right ? "right" : "wrong"] += 1;
    verdict.textContent = right ? "right" : "not so: try again, or look";
    byId("score").textContent = `${score.right} right, ${score.wrong} wrong`;
    if (right) reveal();
  });
  form.querySelector(".tell").addEventListener("click", reveal);
  return [form];
}

// ---------------------------------------------------------------- moving

function render() {
  const step = steps[at], asked = question(at);
  byId("where").textContent = `step ${at + 1} of ${steps.length}, ${step.kind === "forward" ? "forwards" : "backwards"}`;
  byId("slider").value = at;
  byId("slider").setAttribute("aria-valuetext", byId("where").textContent);
  const seeds = steps.slice(0, at + 1).filter((s) => s.kind === "seed");
  root = seeds.length ? tensors[seeds[seeds.length - 1].tensor].name : "";
  const until = asked && asked.hides ? at - 1 : at;
  colour(until);
  showSource(steps[until]);
  byId("panel").replaceChildren(...(asked ? askFirst(asked) : panel(step)));
  byId("panel").dataset.step = at;
  const heading = asked ? asked.ask : byId("panel").querySelector("h2").textContent;
  byId("where").append(make("span", { class: "spoken" }, `: ${heading}`));  // the eye has it in the panel
}

function goTo(step) {
  at = noFurtherThan(Math.max(0, Math.min(steps.length - 1, step)));
  const address = `#step=${at + 1}`;  // counted from 1, as the page does
  if (location.protocol !== "about:") history.replaceState(null, "", address);  // a frame in a notebook has none
  render();
}

function goToNext(matches) {
  const later = steps.findIndex((step, i) => i > at && matches(step)), first = steps.findIndex(matches);
  if (first >= 0) goTo(later >= 0 ? later : first);
  return first >= 0;
}

function arrival(direction) {
  const here = tensorOf(steps[at]);
  for (let i = at + direction; i >= 0 && i < steps.length; i += direction)
    if (steps[i].kind === "contribution" && tensorOf(steps[i]) === here) return goTo(i);
}

function play() {
  if (playing) return stop();
  playing = setInterval(() => { if (at === steps.length - 1 || question(at)) stop(); else goTo(at + 1); }, 900);
  document.querySelector("[data-go=play]").textContent = "stop";
}

function stop() {
  clearInterval(playing);
  playing = null;
  document.querySelector("[data-go=play]").textContent = "play";
}

const moves = { first: () => goTo(0), back: () => goTo(at - 1), on: () => goTo(at + 1), last: () => goTo(steps.length - 1), play };
const keys = { ArrowLeft: moves.back, ArrowRight: moves.on, Home: moves.first, End: moves.last, " ": play,
               n: () => arrival(1), p: () => arrival(-1) };

function begin() {
  for (const element of document.querySelectorAll("header, main, footer")) element.hidden = false;
  document.querySelector("h1").textContent = trace.title;
  for (const button of document.querySelectorAll("[data-go]")) button.addEventListener("click", () => {
    if (button.dataset.go !== "play") stop();
    moves[button.dataset.go]();
  });
  for (const button of document.querySelectorAll("[data-detail]")) button.addEventListener("click", () => {
    level = Math.max(0, Math.min(trace.levels - 1, level + Number(button.dataset.detail)));
    switchTo(level);
  });
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("input[type=text]") || !keys[event.key]) return;
    if (event.key === " " && event.target.matches("button, input, .box, .label")) return;  // which do what they are for
    event.preventDefault();
    if (event.key !== " ") stop();  // who moves by hand wants to stay there
    keys[event.key]();
  });
  byId("slider").max = steps.length - 1;
  byId("slider").addEventListener("input", () => { stop(); goTo(Number(byId("slider").value)); });
  byId("predict").addEventListener("change", startToPredict);
  window.addEventListener("hashchange", fromAddress);
  draw();
  fromAddress();
}

function fromAddress() {
  const found = /step=(\d+)/.exec(location.hash);
  goTo(found ? Number(found[1]) - 1 : 0);
}

if (steps.length) begin();
