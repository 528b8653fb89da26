"use strict";
// The stepper: one trace, shown step by step. `at` is the current step; everything on the page follows from it.
// Here are the graph and the source; the panels are in panels.js, and what moves them in stepping.js.

const trace = JSON.parse(document.getElementById("trace").textContent);
const { tensors, edges, steps, drawings, files, arrays } = trace;
for (const step of steps)  // each array is written down once
  for (const key of ["gradient", "arrived", "incoming", "raw", "contribution", "before", "after"])
    if (typeof step[key] === "number") step[key] = arrays[step[key]];
const byId = (id) => document.getElementById(id);
let at = 0, drawn = trace.start, level = Math.min(trace.start, trace.levels - 1), playing = null;
let groups = { boxes: [], arrows: [] };  // the elements of the drawing, in its order
const score = { right: 0, wrong: 0 };
const made = new Set(steps.filter((step) => step.kind === "forward").map((step) => step.tensor));  // and not before
const into = tensors.map(() => []);  // tensor -> the edges of its inputs
for (const edge of edges) into[edge.target].push(edge);
const answered = new Map();  // step -> how many of its questions are settled, by an answer or by "show me"

// ---------------------------------------------------------------- small helpers

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "rect", "text", "title"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.map((child) => typeof child === "string" ? isolated(child) : child));
  return element;
}

// As in boxes.py: names in scripts from right to left leave what stands beside them in its place.
const RIGHT_TO_LEFT = /\p{XID_Continue}*[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]\p{XID_Continue}*/gu;
const isolated = (text) => text.replace(RIGHT_TO_LEFT, "\u2068$&\u2069");

const shape = (of) => "(" + of.join(", ") + (of.length === 1 ? ",)" : ")");
function number(x) {  // whole ones in full, others in six digits that cannot be taken for more
  if (typeof x !== "number" || Number.isInteger(x)) return String(x);
  const rounded = Number(x.toPrecision(6));
  return Math.abs(rounded) < 1e6 ? String(rounded) : rounded.toExponential();
}
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
  const { source, target } = edges[arrow.edges[0]];
  const group = make("g", { class: "arrow", "data-arrow": i, tabindex: 0, role: "button",
                            "aria-label": `edge from ${tensors[source].name} to ${tensors[target].name}` },
    make("path", { d: path, class: "reach" }), make("path", { d: path }),
    make("path", { d: `M${x - 4} ${y - 8}L${x} ${y}L${x + 4} ${y - 8}z`, class: "head ahead" }),
    make("path", { d: `M${startX - 4} ${startY + 8}L${startX} ${startY}L${startX + 4} ${startY + 8}z`, class: "head back" }));
  if (arrow.edges.length > 1) {
    group.append(make("title", {}, `${arrow.edges.length} edges`));
    if (arrow.spot) group.append(make("text", { x: arrow.spot[0], y: arrow.spot[1], class: "facts count" }, `×${arrow.edges.length}`));
  }
  return pressable(group, () => goToNext((step) => arrow.edges.includes(step.edge)) ||
    goToNext((step) => step.kind === "forward" && step.tensor === target));  // nothing comes back to a constant
}

// Where passes begin, but for those within others, as in a checkpoint. What is marked as done is so in the last of them.
const spans = new Map(), begins = [];
steps.forEach(({ sweep }, i) => { if (sweep !== undefined) spans.set(sweep, [(spans.get(sweep) || [i])[0], i]); });
let end = -1;
for (const [first, last] of spans.values()) {
  if (first > end) begins.push(first);
  end = Math.max(end, last);
}

let root = "";  // what the current step's pass began at, if with a single 1 and no hook changed it: else it is no derivative
const derivative = (name) => root ? `∂${root}/∂${name}` : `gradient at ${name}`;
const uses = (result, input) => into[result].some((edge) => edge.source === input);
const tensorOf = (step) => step.kind === "contribution" ? edges[step.edge].source : step.tensor;

function colour(until = at) {
  const step = steps[until], past = steps.slice(0, until + 1);
  const computed = new Set(past.filter((s) => s.kind === "forward").map((s) => s.tensor));
  const back = past.slice(begins.filter((i) => i <= until).pop() || 0);
  const complete = new Set(back.filter((s) => s.kind === "complete").map((s) => s.tensor));
  const walked = new Set(back.filter((s) => s.kind === "contribution").map((s) => s.edge));
  drawings[drawn].boxes.forEach((box, i) => {
    const group = groups.boxes[i];
    group.classList.toggle("later", box.tensors.every((t) => made.has(t) && !computed.has(t)));
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
  const focused = document.activeElement;  // is lost by what is moved to the front
  for (const now of document.querySelectorAll(".arrow.now")) now.parentNode.insertBefore(now, document.querySelector(".box"));
  if (focused !== document.activeElement) focused.focus({ preventScroll: true });
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
    const bytes = new TextEncoder().encode(text), cut = (a, b) => new TextDecoder().decode(bytes.slice(a, b));
    const [begin, end] = (current && place.columns) || [];
    const parts = begin === undefined ? [text] : [cut(0, begin), make("mark", {}, cut(begin, end)), cut(end)];
    return make("span", { class: current ? "line current" : "line" }, make("i", {}, String(n).padStart(4) + "  "), ...parts);
  });
  pre.replaceChildren(...lines);
  const current = pre.querySelector(".current"), mark = pre.querySelector("mark");
  if (current) pre.scrollTop = current.offsetTop - pre.offsetTop - pre.clientHeight / 2;
  pre.scrollLeft = mark ? Math.max(0, mark.offsetLeft - pre.offsetLeft + Math.min(mark.offsetWidth + 20 - pre.clientWidth, 0)) : 0;
}
