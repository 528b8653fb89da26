// Going from step to step: questions on the way, keys, the address.

// ---------------------------------------------------------------- predict, then see

// The questions of a step, in order. The graph and the source stay a step behind while one `hides` what it shows.
function questions(step) {
  if (step.kind === "contribution") return [...whichEdge(edges[step.edge]), whatArrives(step, edges[step.edge])];
  if (step.kind !== "complete" || tensors[step.tensor].kind !== "result") return [];
  return [{ ask: "Whose turn is it next? (its name)", ...named(step.tensor), hides: true }];
}

// A name is an answer as it is, and as a box says it: cut if it is long, what has no look spelled, with a value or without.
function named(tensor) {
  const said = drawings.flatMap(({ boxes }) => boxes).filter((box) => box.frame === null && box.tensors[0] === tensor)
    .map((box) => box.name);
  return { answer: tensors[tensor].name, alternatives: [...said, ...said.map((name) => name.replace(/ = \S+$/, ""))] };
}

function whichEdge({ target, source }) {
  const others = into[target].filter((edge) => edge.rule).map((edge) => edge.source);
  if (new Set(others).size < 2) return [];
  return [{ ask: `Along which edge next: to whom does ${tensors[target].name} pass something back? (a name)`,
            ...named(source), hides: true }];
}

function whatArrives({ contribution, axes }, { target, source }) {
  const name = tensors[source].name;
  if (contribution.values && contribution.values.length === 1)
    return { ask: `What does ${tensors[target].name} pass back to ${name}?`, answer: contribution.values[0] };
  if (axes.length) return { ask: `Over which axes is the gradient for ${name} summed? (such as 0, 2)`, answer: axes };
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
  if (typeof answer === "number") return Math.abs(Number(typed) - answer) <= 1e-2 * Math.abs(answer) && typed.trim() !== "";
  if (/^-?(nan|inf)$/.test(answer)) typed = typed.toLowerCase();
  const [given, wanted] = [typed, answer].map((text) => String(text).split(/[(),\s\u2068\u2069]+/).filter(Boolean));
  if (Array.isArray(answer)) given.sort();  // axes, in any order
  return alike(given, wanted);
}

function askFirst(asked) {
  const answer = make("input", { type: "text", "aria-label": "your answer", autocomplete: "off" });
  const verdict = make("p", { role: "status" });
  const reveal = () => { settle(at); render(); };
  const form = make("form", { class: "question" }, make("p", {}, asked.ask), answer, make("button", {}, "check"), verdict,
    make("button", { type: "button", class: "tell" }, "show me"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const right = [asked.answer, ...(asked.alternatives || [])].some((known) => isRight(answer.value, known));
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
  const ahead = step.kind === "forward" && !step.backwards;  // a hook, and what is computed again, are part of a pass
  byId("where").textContent = `step ${at + 1} of ${steps.length}, ${ahead ? "forwards" : "backwards"}`;
  byId("slider").value = at;
  byId("slider").setAttribute("aria-valuetext", byId("where").textContent);
  const seeds = steps.filter((s) => s.kind === "seed" && s.sweep === step.sweep);
  const [first] = spans.get(step.sweep) || [];  // what hooks change in passes within this one changes what it makes
  const isHooked = steps.slice(first, at + 1).some((s) => s.was_changed);
  const isDerivative = seeds.length === 1 && alike(seeds[0].gradient.values, [1]) && !isHooked;
  root = isDerivative ? tensors[seeds[0].tensor].name : "";
  const until = asked && asked.hides ? at - 1 : at;
  colour(until);
  showSource(steps[until]);
  byId("panel").replaceChildren(...(asked ? askFirst(asked) : panel(step)));
  byId("panel").dataset.step = at;
  const heading = asked ? asked.ask : byId("panel").querySelector("h2").textContent;
  byId("where").append(make("span", { class: "spoken" }, `: ${heading}`));  // the eye has it in the panel
}

// A jump can be taken back with the browser's button; a single step on or back is none.
function goTo(step, jump = false) {
  const before = at;
  at = noFurtherThan(Math.max(0, Math.min(steps.length - 1, step)));
  const address = `#step=${at + 1}`;  // counted from 1, as the page does
  if (location.protocol !== "about:")  // a frame in a notebook has none
    history[jump && at !== before ? "pushState" : "replaceState"](null, "", address);
  render();
}

function goToNext(matches) {
  const later = steps.findIndex((step, i) => i > at && matches(step)), first = steps.findIndex(matches);
  if (first >= 0) goTo(later >= 0 ? later : first, true);
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
    if (event.key === " " && event.target.matches("button, input, .box, .label, .arrow")) return;  // which do what they are for
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
