"use strict";
// The stepper: one trace, shown step by step. `at` is the current step; everything on the page follows from it.

const trace = JSON.parse(document.getElementById("trace").textContent);
const { tensors, edges, steps, drawings, files } = trace;
const byId = (id) => document.getElementById(id);
let at = 0, depth = trace.start, playing = null, revealed = -1;
let groups = { boxes: [], arrows: [] };  // the elements of the drawing, in its order
const score = { right: 0, wrong: 0 };

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
const brief = (array) => array.values && array.values.length === 1 ? number(array.values[0]) : shape(array.shape);

// ---------------------------------------------------------------- the graph

function draw() {
  const { boxes, arrows, width, height } = drawings[depth];
  const svg = make("svg", { viewBox: `-14 -14 ${width + 28} ${height + 28}`, width: width + 28, height: height + 28,
                            role: "group", "aria-label": "the graph, from its inputs down to its result" });
  groups = { arrows: arrows.map(drawArrow), boxes: boxes.map(drawBox) };
  svg.append(...groups.arrows, ...groups.boxes);
  byId("graph").replaceChildren(svg);
  byId("detail").hidden = drawings.length === 1;
  for (const button of document.querySelectorAll("[data-detail]")) button.disabled = !drawings[depth + Number(button.dataset.detail)];
}

function drawBox(box, i) {
  const { x, y, width, height } = box;
  const group = make("g", { class: `box ${box.kind}`, "data-box": i, tabindex: 0, role: "button",
                            "aria-label": `${box.name}, ${box.facts}` },
    make("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: box.kind === "result" ? 6 : height / 2 }),
    make("text", { x, y: y - 4, "font-weight": 600 }, box.name),
    make("text", { x, y: y + 13, class: "facts" }, box.facts));
  group.addEventListener("click", () => goToNext((step) => box.tensors.includes(tensorOf(step))));
  group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    group.dispatchEvent(new Event("click"));
  } });
  return group;
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
    const [middleX, middleY] = [(startX + rest[0][0]) / 2 + 12, (startY + rest[0][1]) / 2];
    group.append(make("text", { x: middleX, y: middleY, class: "facts" }, `×${arrow.edges.length}`));
  }
  group.addEventListener("click", () => goToNext((step) => arrow.edges.includes(step.edge)));
  return group;
}

let root = "";  // the tensor that the backward pass around the current step began at
const derivative = (name) => `∂${root}/∂${name}`;
const tensorOf = (step) => step.kind === "contribution" ? edges[step.edge].source : step.tensor;

function colour(until = at) {
  const step = steps[until], past = steps.slice(0, until + 1);
  const computed = new Set(past.filter((s) => s.kind === "forward").map((s) => s.tensor));
  const complete = new Set(past.filter((s) => s.kind === "complete").map((s) => s.tensor));
  const walked = new Set(past.filter((s) => s.kind === "contribution").map((s) => s.edge));
  drawings[depth].boxes.forEach((box, i) => {
    const group = groups.boxes[i];
    group.classList.toggle("later", box.tensors.every((t) => tensors[t].kind === "result" && !computed.has(t)));
    group.classList.toggle("has", box.tensors.some((t) => complete.has(t)));
    group.classList.toggle("back", step.kind !== "forward");
    group.classList.toggle("now", box.tensors.includes(tensorOf(step)));
  });
  drawings[depth].arrows.forEach((arrow, i) => {
    const group = groups.arrows[i];
    group.classList.toggle("done", arrow.edges.some((e) => walked.has(e)));
    group.classList.toggle("now", step.kind === "contribution" && arrow.edges.includes(step.edge));
    group.classList.toggle("wrong", arrow.edges.some((e) => edges[e].verdict && edges[e].verdict.verdict === "WRONG"));
  });
  for (const now of document.querySelectorAll(".arrow.now")) now.parentNode.insertBefore(now, document.querySelector(".box"));
  for (const now of document.querySelectorAll(".arrow.now, .box.now")) now.scrollIntoView({ block: "nearest", inline: "nearest" });
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
    if (array.picture) parts.push(heatmap(array.picture));
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

function heatmap(picture) {
  const rows = picture.length, columns = picture[0].length, pixel = Math.max(3, Math.min(12, Math.floor(280 / columns)));
  const most = Math.max(...picture.flat().map(Math.abs)) || 1;
  const canvas = make("canvas", { width: columns * pixel, height: rows * pixel, role: "img",
                                  "aria-label": `heatmap, blue is ${number(-most)}, white 0, red ${number(most)}` });
  const pen = canvas.getContext("2d");
  picture.forEach((row, y) => row.forEach((value, x) => {
    const part = Math.round(255 * (1 - Math.abs(value) / most));
    pen.fillStyle = value < 0 ? `rgb(${part},${part},255)` : `rgb(255,${part},${part})`;
    pen.fillRect(x * pixel, y * pixel, pixel, pixel);
  }));
  return make("div", {}, canvas, make("p", {}, `from ${number(-most)} (blue) to ${number(most)} (red); means of blocks`));
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
  return [...parts, ...why(step), ...showArray("value", made.value)];
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
  return [...parts, ...why(step), ...showArray(derivative(name), step.gradient)];
}

function panelContribution(step) {
  const edge = edges[step.edge], child = tensors[edge.target], parent = tensors[edge.source], rule = edge.rule;
  const parts = [make("h2", {}, `${child.name} passes back to ${parent.name}`),
    make("p", {}, `the rule of ${child.operation} for its input ${edge.position}:`)];
  if (rule) {
    parts.push(make("pre", {}, rule.source));
    const names = { grad: derivative(child.name), out: child.name, ...rule.names };
    const used = Object.entries(names).filter(([name]) => new RegExp(`\\b${name}\\b`).test(rule.source));
    parts.push(make("dl", {}, ...used.flatMap(([name, is]) => [make("dt", {}, name), make("dd", {}, is)])));
  }
  parts.push(...why(step), ...showArray(`incoming: ${derivative(child.name)}`, step.incoming), ...showArray("what the rule returns", step.raw));
  if (step.axes.length) parts.push(make("p", { class: "reduction" }, reduction(step)));
  if (step.cast) parts.push(make("p", { class: "reduction" }, `cast from ${step.cast[0]} to ${step.cast[1]}`));
  if (step.axes.length || step.cast) parts.push(...showArray("what arrives", step.contribution));
  const all = steps.filter((s) => s.kind === "contribution" && edges[s.edge].source === edge.source).length;
  parts.push(make("p", {}, `arrival ${step.arrival} of ${Math.max(all, step.arrival)} at ${parent.name}`));
  if (step.before) parts.push(...showArray("the sum before", step.before), ...showArray("the sum after", step.after));
  const verdict = edge.verdict;
  if (verdict) parts.push(make("h3", {}, "numerical check"), make("p", { class: verdict.verdict }, verdict.verdict + (
    verdict.reason ? `: ${verdict.reason}` : "") + (verdict.numeric === null ? "" : `: the rule says ${number(verdict.analytic)}, differences say ${number(verdict.numeric)} ± ${number(verdict.error)}`)));
  return parts;
}

const reduction = (step) => `${shape(step.raw.shape)} → sum over ${step.axes.length === 1 ? "axis" : "axes"} ` +
  `${step.axes.join(", ")} → ${shape(step.contribution.shape)}: broadcasting had repeated it`;

const why = (step) => (step.why || []).map((text) => make("p", {}, `Why: ${text}`));

// ---------------------------------------------------------------- predict, then see

function question(step) {
  if (step.kind === "contribution") {
    const edge = edges[step.edge], name = tensors[edge.source].name;
    if (step.contribution.values && step.contribution.values.length === 1)
      return { ask: `What does ${tensors[edge.target].name} pass back to ${name}?`, answer: step.contribution.values[0] };
    if (step.axes.length) return { ask: `Over which axes is the gradient for ${name} summed? (such as 0, 2)`, answer: step.axes.join(",") };
    return { ask: `Which shape does the gradient for ${name} have?`, answer: step.contribution.shape.join(",") };
  }
  if (step.kind === "complete" && tensors[step.tensor].kind === "result")
    return { ask: "Whose turn is it next? (its name)", answer: tensors[step.tensor].name };
  return null;
}

function isRight(typed, answer) {
  if (typeof answer === "number") return Math.abs(Number(typed) - answer) <= 1e-2 * Math.abs(answer) + 1e-9 && typed.trim() !== "";
  const clean = (text) => String(text).replace(/[()\s]/g, "").replace(/,$/, "").toLowerCase();
  return clean(typed) === clean(answer);
}

function askFirst(step, asked) {
  const answer = make("input", { type: "text", "aria-label": "your answer", autocomplete: "off" });
  const verdict = make("p", { role: "status" });
  const reveal = () => { revealed = at; render(); };
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
  const step = steps[at], asked = byId("predict").checked && revealed !== at ? question(step) : null;
  byId("where").textContent = `step ${at + 1} of ${steps.length}, ${step.kind === "forward" ? "forwards" : "backwards"}`;
  byId("slider").value = at;
  byId("slider").setAttribute("aria-valuetext", byId("where").textContent);
  const seeds = steps.slice(0, at + 1).filter((s) => s.kind === "seed");
  root = seeds.length ? tensors[seeds[seeds.length - 1].tensor].name : "";
  const until = asked && step.kind === "complete" ? at - 1 : at;  // the graph must not tell whose turn it is
  colour(until);
  showSource(steps[until]);
  byId("panel").replaceChildren(...(asked ? askFirst(step, asked) : panel(step)));
  byId("panel").dataset.step = at;
}

function goTo(step) {
  at = Math.max(0, Math.min(steps.length - 1, step));
  revealed = -1;
  if (location.protocol !== "about:") history.replaceState(null, "", `#step=${at}`);  // a frame in a notebook has no address
  render();
}

function goToNext(matches) {
  const later = steps.findIndex((step, i) => i > at && matches(step)), first = steps.findIndex(matches);
  if (first >= 0) goTo(later >= 0 ? later : first);
}

function arrival(direction) {
  const here = tensorOf(steps[at]);
  for (let i = at + direction; i >= 0 && i < steps.length; i += direction)
    if (steps[i].kind === "contribution" && tensorOf(steps[i]) === here) return goTo(i);
}

function play() {
  if (playing) { clearInterval(playing); playing = null; }
  else playing = setInterval(() => { if (at === steps.length - 1) play(); else goTo(at + 1); }, 900);
  document.querySelector("[data-go=play]").textContent = playing ? "stop" : "play";
}

const moves = { first: () => goTo(0), back: () => goTo(at - 1), on: () => goTo(at + 1), last: () => goTo(steps.length - 1), play };
const keys = { ArrowLeft: moves.back, ArrowRight: moves.on, Home: moves.first, End: moves.last, " ": play,
               n: () => arrival(1), p: () => arrival(-1) };

function begin() {
  for (const element of document.querySelectorAll("header, main, footer")) element.hidden = false;
  document.querySelector("h1").textContent = trace.title;
  for (const button of document.querySelectorAll("[data-go]")) button.addEventListener("click", moves[button.dataset.go]);
  for (const button of document.querySelectorAll("[data-detail]")) button.addEventListener("click", () => {
    depth = Math.max(0, Math.min(drawings.length - 1, depth + Number(button.dataset.detail)));
    draw();
    colour();
  });
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("input[type=text]") || !keys[event.key]) return;
    if (event.key === " " && event.target.matches("button, input, .box")) return;  // which do what they are for
    event.preventDefault();
    keys[event.key]();
  });
  byId("slider").max = steps.length - 1;
  byId("slider").addEventListener("input", () => goTo(Number(byId("slider").value)));
  byId("predict").addEventListener("change", render);
  window.addEventListener("hashchange", fromAddress);
  draw();
  fromAddress();
}

function fromAddress() {
  const found = /step=(\d+)/.exec(location.hash);
  goTo(found ? Number(found[1]) : 0);
}

if (steps.length) begin();
