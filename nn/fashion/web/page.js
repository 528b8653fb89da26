"use strict";
// The page: a picture comes from the gallery, a photo or the pad; `show` says what the network makes of it.

const { classes, garments, mean, std, layers, weights, gallery, steps, pad, facts } = JSON.parse(document.getElementById("model").textContent);
const [ROWS, COLUMNS] = steps.SIZE, PIXELS = ROWS * COLUMNS, MOST_BARS = 10;
const network = unpacked(layers, bytesOf(weights));
const byId = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
let asked = 0;  // how many pictures were asked for: an answer that comes late is not shown

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// ---------------------------------------------------------------- the network

/** For as many bytes as an image has, such as a bright garment on black, the probability of each class by a network. */
const asking = (network) => (pixels) => softmax(through(network, Float32Array.from(pixels, (pixel) => (pixel / 255 - mean) / std)));
const probabilities = asking(network);

/** For photos of garments means over picture and mirror image, since shoes in the data point to the left. */
const isOneSided = garments && network[0].kind !== "mirrorAverage";
const probabilitiesOfPhoto = isOneSided ? asking([{ kind: "mirrorAverage", ways: [network], in: [ROWS, COLUMNS] }]) : probabilities;

// ---------------------------------------------------------------- the answer

function show({ pixels, shares, about, wrong = false, gradient = null, warnings = [] }) {
  const best = shares.indexOf(Math.max(...shares));
  paint(byId("seen"), (i) => [pixels[i], pixels[i], pixels[i], 255]);
  byId("answer").replaceChildren(make("bdi", {}, classes[best]), `, ${percent(shares[best])}`);
  byId("about").textContent = about;
  byId("about").classList.toggle("wrong", wrong);
  const order = classes.map((_, i) => i);
  if (order.length > MOST_BARS) order.sort((a, b) => shares[b] - shares[a]);
  [...byId("bars").children].forEach((bar, row) => {
    const i = order[row];
    bar.classList.toggle("best", i === best);
    bar.title = bar.querySelector("b").textContent = classes[i];
    bar.querySelector("i").style.setProperty("--share", `${100 * shares[i]}%`);
    bar.querySelector("output").textContent = percent(shares[i]);
  });
  const unsure = shares[best] < 0.5 ? [`the network is not sure: ${classes[best]} has ${percent(shares[best])}`] : [];
  byId("warnings").replaceChildren(...[...warnings, ...unsure].map((sentence) => make("li", {}, sentence)));
  if (gradient) paint(byId("mattered"), (i) => [...(gradient[i] > 0 ? [249, 115, 22] : [14, 165, 233]), 2 * Math.abs(gradient[i])]);
  byId("toggle").hidden = !gradient;
  explain();
}

/** Shows or hides which pixels mattered. */
function explain() {
  const shown = byId("explain").checked && !byId("toggle").hidden;
  byId("mattered").hidden = byId("legend").hidden = !shown;
}

/** Fills a canvas of the size of an image with the four bytes that each pixel has. */
function paint(canvas, colour) {
  const picture = new ImageData(COLUMNS, ROWS);
  for (let i = 0; i < PIXELS; i++) picture.data.set(colour(i), 4 * i);
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(picture, 0, 0);
}

/** Nothing of the gallery is chosen any more. */
function unselect() {
  for (const chosen of document.querySelectorAll("[aria-selected=true]")) chosen.setAttribute("aria-selected", "false");
}

// ---------------------------------------------------------------- the gallery

const images = bytesOf(gallery.images), gradients = new Int8Array(bytesOf(gallery.gradients).buffer);
const imageOf = (i) => images.subarray(i * PIXELS, (i + 1) * PIXELS);

function option(i) {
  const [truth, taken] = [classes[gallery.labels[i]], classes[gallery.predicted[i]]], isMistake = i >= gallery.hits;
  const canvas = make("canvas", { width: COLUMNS, height: ROWS, "aria-hidden": true });
  paint(canvas, (k) => [imageOf(i)[k], imageOf(i)[k], imageOf(i)[k], 255]);
  const label = isMistake ? `${truth}, taken for ${taken}` : `${truth}, test image ${gallery.numbers[i]}`;
  const element = make("div", { role: "option", "aria-selected": false, "aria-label": label, title: label, tabindex: -1, "data-image": i }, canvas);
  if (isMistake) element.append(make("span", {}, truth), make("span", {}, `✗ ${taken}`));
  return element;
}

function choose(element) {
  const i = Number(element.dataset.image), truth = gallery.labels[i];
  unselect();
  for (const other of element.parentElement.children) other.tabIndex = other === element ? 0 : -1;
  element.setAttribute("aria-selected", "true");
  asked++;
  const shares = probabilities(imageOf(i)), wrong = shares.indexOf(Math.max(...shares)) !== truth;
  show({ pixels: imageOf(i), shares, wrong, gradient: gradients.subarray(i * PIXELS, (i + 1) * PIXELS),
         about: wrong ? `✗ test image ${gallery.numbers[i]}: it is labelled ${classes[truth]}` : `✓ test image ${gallery.numbers[i]}: so it is labelled` });
}

for (const [id, from, to] of [["hits", 0, gallery.hits], ["mistakes", gallery.hits, gallery.labels.length]]) {
  const box = byId(id);
  for (let i = from; i < to; i++) box.append(option(i));
  if (from < to) box.firstElementChild.tabIndex = 0; else box.hidden = byId(`of-${id}`).hidden = true;
  box.addEventListener("click", (event) => { const element = event.target.closest("[role=option]"); if (element) choose(element); });
  box.addEventListener("keydown", (event) => {
    const all = [...box.children], at = all.indexOf(event.target), columns = all.filter((other) => other.offsetTop === all[0].offsetTop).length;
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, Home: 0, End: all.length - 1, " ": at, Enter: at }[event.key];
    if (next === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (all[next]) { all[next].focus(); choose(all[next]); }
  });
}

// ---------------------------------------------------------------- photos

const LARGEST = 4096;  // pixels of a side that phones draw on; what is larger the browser reduces first, less exactly

/** The pixels of an image, what is transparent on white. */
function pictureOf(image, width, height) {
  const scale = Math.min(1, (LARGEST - 1) / Math.max(width, height));
  const canvas = make("canvas", { width: Math.max(1, Math.round(scale * width)), height: Math.max(1, Math.round(scale * height)) });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

async function askFile(file) {
  const number = ++asked;
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    if (number === asked) refuse(`${file.name || "this"} is no image that this browser reads`);
    return;
  }
  if (number === asked) askPicture(pictureOf(image, image.width, image.height), `photo: ${file.name || "pasted"}`);
  image.close();
}

function askPicture(photo, about) {
  const { picture = photo, box } = answer(photo, about);
  drawPhoto(picture, box);
}

/** Shows what the network makes of a photo or a sketch; returns what was seen in it. */
function answer(photo, about) {
  unselect();
  try {
    const found = garments ? readPhoto(photo, steps) : readWhole(photo, steps);
    show({ pixels: found.pixels, shares: probabilitiesOfPhoto(found.pixels), about, warnings: found.warnings });
    return found;
  } catch (error) {
    refuse(error.message);
    return {};
  }
}

/** There is no answer, and why. */
function refuse(sentence) {
  unselect();
  show({ pixels: new Uint8Array(PIXELS), shares: classes.map(() => 0), about: "" });
  byId("answer").textContent = "no answer";
  byId("warnings").replaceChildren(make("li", {}, sentence));
}

function drawPhoto({ width, height, data }, box) {
  const canvas = byId("photo"), context = canvas.getContext("2d");
  [canvas.width, canvas.height, canvas.hidden] = [width, height, false];
  context.putImageData(new ImageData(data, width, height), 0, 0);
  if (!box) return;
  const [left, top, right, bottom] = box;
  context.lineWidth = Math.max(width, height) / 120;
  context.strokeStyle = "#ea580c";
  context.strokeRect(left, top, right - left, bottom - top);
}

const firstImage = (items) => [...items].find((file) => file.type.startsWith("image/")) || items[0];
for (const id of ["file", "capture"]) byId(id).addEventListener("change", ({ target }) => {
  if (target.files.length) askFile(target.files[0]);
  target.value = "";  // so that the same file can be chosen again
});
document.addEventListener("paste", ({ clipboardData }) => { if (clipboardData.files.length) askFile(firstImage(clipboardData.files)); });
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  if (event.dataTransfer.files.length) askFile(firstImage(event.dataTransfer.files));
});

// ---------------------------------------------------------------- the camera

const video = byId("video");

async function startCamera() {
  if (!navigator.mediaDevices) return byId("capture").click();  // on a phone that is the camera, too
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    byId("live").hidden = false;
    await video.play();
    byId("take").focus();
  } catch (error) {
    stopCamera();
    refuse(`there is no camera to be used: ${error.message}`);
  }
}

function stopCamera() {
  for (const track of video.srcObject ? video.srcObject.getTracks() : []) track.stop();
  video.srcObject = null;
  byId("live").hidden = true;
}

byId("camera").addEventListener("click", startCamera);
byId("stop").addEventListener("click", () => { stopCamera(); byId("camera").focus(); });
byId("take").addEventListener("click", () => {
  if (!video.videoWidth) return;
  asked++;
  askPicture(pictureOf(video, video.videoWidth, video.videoHeight), "photo: camera");
  stopCamera();
  byId("camera").focus();
});

// ---------------------------------------------------------------- the pad

const sheet = byId("pad"), ink = sheet.getContext("2d", { willReadFrequently: true });
const greyOf = (level) => `rgb(${level} ${level} ${level})`;

function clearPad() {
  ink.fillStyle = greyOf(pad.paper);
  ink.fillRect(0, 0, sheet.width, sheet.height);
}

function stroke(event) {
  const frame = sheet.getBoundingClientRect(), scale = sheet.width / frame.width;
  const [x, y] = [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
  if (event.type === "pointerdown") {
    sheet.setPointerCapture(event.pointerId);
    ink.beginPath();
    ink.moveTo(x - 0.1, y);  // a touch alone leaves a dot
  }
  if (!sheet.hasPointerCapture(event.pointerId)) return;
  ink.lineTo(x, y);
  ink.stroke();
}

[sheet.width, sheet.height] = [COLUMNS, ROWS].map((side) => Math.ceil(280 * side / Math.max(COLUMNS, ROWS)));
Object.assign(ink, { lineWidth: 26, lineCap: "round", lineJoin: "round", strokeStyle: greyOf(pad.ink) });
clearPad();
for (const name of ["pointerdown", "pointermove"]) sheet.addEventListener(name, stroke);
sheet.addEventListener("pointerup", () => {
  asked++;
  answer(ink.getImageData(0, 0, sheet.width, sheet.height), garments ? "a sketch, which is not what it learned from" : "a sketch");
});
byId("clear").addEventListener("click", clearPad);

// ---------------------------------------------------------------- the beginning

byId("facts").textContent = `${facts.parameters.toLocaleString("en")} numbers that recognise ${percent(facts.accuracy)} of ${facts.images.toLocaleString("en")} test images of ${classes.length} classes, in your browser`;
byId("bars").append(...classes.slice(0, MOST_BARS).map(() => make("li", {}, make("b"), make("i"), make("output"))));
byId("pictures").style.setProperty("--narrow", Math.min(1, COLUMNS / ROWS));
document.body.classList.toggle("fine", Math.max(ROWS, COLUMNS) > 64);
byId("explain").addEventListener("change", explain);
document.querySelector("main").hidden = false;
const first = document.querySelector("[role=option]");
if (first) choose(first); else refuse("there are no test images: try a photo");
