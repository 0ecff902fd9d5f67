"use strict";
const match = JSON.parse(document.getElementById("match").textContent);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const fine = (text) => new Uint16Array(bytes(text).buffer);
const columns = new Uint32Array(bytes(match.columns).buffer), shares = fine(match.shares), cycle = fine(match.cycle);
const confidence = fine(match.confidence), source = bytes(match.source), places = fine(match.places), near = fine(match.near);
const [frame, ...others] = match.frames, [grid, ...grids] = match.grids, FULL = 65535;
const firsts = grids.map((_, i) => grids.slice(0, i).reduce((sum, [h, w]) => sum + h * w, 0));
const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

/* Pictures: each has a layer for heat and a ring for a place. */
const shown = [...document.querySelectorAll(".shown")].map((box, i) => {
  const heat = box.appendChild(document.createElement("canvas")), ring = box.appendChild(document.createElement("div"));
  ring.className = "mark"; ring.hidden = true; box.tabIndex = 0;
  [heat.height, heat.width] = match.frames[i].picture;
  return { box, heat, ring };
});

/* The cell of a grid that a place, in shares of a picture, lies in; the grid covers the frame's canvas. */
function cellAt([x, y], { picture: [height, width], canvas: [tall, wide], corner: [top, left] }, [rows, across]) {
  const row = Math.floor((y * height + top) * rows / tall), column = Math.floor((x * width + left) * across / wide);
  return Math.min(Math.max(row, 0), rows - 1) * across + Math.min(Math.max(column, 0), across - 1);
}

function light(number, amounts) {
  const { heat } = shown[number], context = heat.getContext("2d");
  const { canvas: [tall, wide], corner: [top, left] } = match.frames[number], [rows, across] = match.grids[number];
  const most = Math.max(...amounts), high = tall / rows, broad = wide / across;
  context.clearRect(0, 0, heat.width, heat.height);
  for (let i = 0; i < rows * across; i++) {
    const share = most > 0 ? amounts[i] / most : 0;
    const box = [(i % across) * broad - left, Math.floor(i / across) * high - top, broad, high];
    context.fillStyle = `rgb(20 20 20 / ${0.6 * (1 - share)})`; context.fillRect(...box);
    context.fillStyle = `rgb(255 150 0 / ${0.55 * share})`; context.fillRect(...box);
  }
}

function dark(number) {
  const { heat, ring } = shown[number];
  heat.getContext("2d").clearRect(0, 0, heat.width, heat.height);
  ring.hidden = true;
}

function ringAt(number, [x, y]) {
  const { ring } = shown[number];
  ring.hidden = false; ring.style.left = `${100 * x}%`; ring.style.top = `${100 * y}%`;
}

const pixel = ([x, y], [height, width]) => `(${Math.floor(x * width)}, ${Math.floor(y * height)})`;

function fromResult(place) {
  const [height, width] = frame.picture, row = cellAt(place, frame, grid);
  const at = Math.min(Math.floor(place[1] * height), height - 1) * width + Math.min(Math.floor(place[0] * width), width - 1);
  const from = source[at], there = [places[2 * at] / FULL, places[2 * at + 1] / FULL];
  const amounts = grids.map(([h, w]) => new Float64Array(h * w));
  for (let i = row * match.kept; i < (row + 1) * match.kept; i++) {
    const exemplar = firsts.findLastIndex((first) => first <= columns[i]);
    amounts[exemplar][columns[i] - firsts[exemplar]] += shares[i] / FULL;
  }
  others.forEach((_, i) => { dark(1 + i); if (Math.max(...amounts[i]) > 0.01 || i === from) light(1 + i, amounts[i]); });
  dark(0); ringAt(0, place); ringAt(1 + from, there);
  const which = others.length > 1 ? `exemplar ${1 + from}` : "the exemplar";
  const whereabouts = pixel(there, others[from].picture);
  const said = near[at] < FULL / 2 ? `several places of ${which}, the most from around ${whereabouts}` : `${whereabouts} of ${which}`;
  return `Pixel ${pixel(place, frame.picture)} of the result comes from ${said}. `
    + `Taken from around there: ${percent(near[at] / FULL)}. Confidence: ${percent(confidence[at] / FULL)}. `
    + `Cycle error: its cell comes back ${percent(cycle[row] / FULL)} of the width away from itself.`;
}

function fromExemplar(number, place) {
  const cell = firsts[number] + cellAt(place, others[number], grids[number]);
  const amounts = new Float64Array(grid[0] * grid[1]);
  for (let i = 0; i < columns.length; i++) if (columns[i] === cell) amounts[Math.floor(i / match.kept)] += shares[i] / FULL;
  shown.forEach((_, i) => dark(i));
  light(0, amounts); ringAt(1 + number, place);
  const most = Math.max(...amounts), mainly = amounts.filter((one) => one > 0.5).length;
  const which = others.length > 1 ? `exemplar ${1 + number}` : "the exemplar";
  return `Place ${pixel(place, others[number].picture)} of ${which} `
    + (most > 0 ? `gives most to the lightest cells of the result, ${percent(most)} of what they take; `
      + `${mainly} of ${amounts.length} cells take more than half from there.` : "went nowhere.");
}

/* Clicks, movements with the button held, and arrow keys. */
let last = null;
function answer(number, place) {
  last = [number, place];
  document.getElementById("answer").textContent = number ? fromExemplar(number - 1, place) : fromResult(place);
}
shown.forEach(({ box }, number) => {
  const follow = (event) => {
    const { left, top, width, height } = box.getBoundingClientRect();
    answer(number, [(event.clientX - left) / width, (event.clientY - top) / height]
      .map((share) => Math.min(Math.max(share, 0), 0.999999)));
  };
  box.addEventListener("pointerdown", (event) => { box.focus(); box.setPointerCapture(event.pointerId); follow(event); event.preventDefault(); });
  box.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [height, width] = match.frames[number].picture;
    const [x, y] = last && last[0] === number ? last[1] : [0.5, 0.5];
    answer(number, [x + step[0] / width, y + step[1] / height].map((share) => Math.min(Math.max(share, 0), 0.999999)));
  });
});
for (const pick of document.querySelectorAll("[name=shown]"))
  pick.addEventListener("change", () => {
    for (const picture of document.querySelectorAll(".result img")) picture.hidden = !picture.classList.contains(pick.value);
  });
document.querySelector("[name=shown]:checked").dispatchEvent(new Event("change"));
