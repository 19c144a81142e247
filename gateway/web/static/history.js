// History of the points of a device on one time axis: which span is shown, zoomed and moved, and fetched again for it.

import { drawNumbers, drawStrip, drawTable, rem, stamp, texts } from "./chart_draw.js";

const holder = document.querySelector("[data-chart]");
const table = document.querySelector("[data-chart-table]");
const spanSaid = document.querySelector("[data-chart-span]");
const PERIODS = [1, 24, 168, 720, 8760]; // hours
const SHORTEST_MS = 60e3, LONGEST_MS = 5 * 366 * 86400e3;
let hours = 24;
let chosen = false; // by the reader, or because values were found
let span = null; // [from, to] the reader zoomed to; null: the last hours
let drawnWide = 0;
let plot = null;
let shown = null;
let asked = 0;

function said(text) {
  plot?.destroy();
  plot = null;
  table?.replaceChildren();
  const p = document.createElement("p");
  p.className = "chart-said muted";
  p.textContent = text;
  holder.replaceChildren(p);
}

const hasValues = (answer) => answer.series.some((one) => one.buckets.some((bucket) => bucket !== null) || one.segments.some((run) => run[2] !== null));

function draw() {
  if (!shown) return;
  drawnWide = holder.clientWidth;
  if (!hasValues(shown)) return said(texts.no_data);
  plot?.destroy();
  plot = null;
  holder.replaceChildren();
  const numbers = shown.series.filter((one) => one.is_number && one.buckets.length);
  if (numbers.length) plot = drawNumbers(holder, shown, numbers, zoom);
  for (const one of shown.series) if (!one.is_number && one.segments.length) drawStrip(holder, shown, one);
  if (table) drawTable(table, shown);
  if (spanSaid) spanSaid.textContent = `${stamp(shown.from_ms)} – ${stamp(shown.to_ms)}`;
}

function press(wanted) {
  hours = wanted;
  for (const button of document.querySelectorAll("[data-hours]")) button.setAttribute("aria-pressed", String(span === null && Number(button.dataset.hours) === hours));
}

// Of a device that was taken out nothing came after.
const last = () => Number(holder.dataset.until) || Date.now();
const points = () => [holder.dataset.point, ...[...document.querySelectorAll("[data-chart-also]:checked")].map((box) => box.value)];

async function load() {
  const turn = ++asked;
  const now = last();
  const [from, to] = span ?? [now - hours * 3600e3, now];
  const query = new URLSearchParams({ from_ms: Math.round(from), to_ms: Math.round(to) });
  for (const point of points()) query.append("point", point);
  holder.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(`/api/v1/charts?${query}`);
    const answer = await response.json();
    if (turn !== asked) return; // a later question overtook this one
    if (!response.ok) { shown = null; return said(answer.detail ?? texts.failed); }
    // The shortest period that has values, until the reader chooses one.
    const longer = PERIODS[PERIODS.indexOf(hours) + 1];
    if (!chosen && longer && !hasValues(answer)) { press(longer); return load(); }
    if (!chosen && !hasValues(answer)) press(24);
    chosen = true;
    shown = answer;
    draw();
  } catch {
    if (turn === asked) { shown = null; said(texts.failed); }
  } finally {
    if (turn === asked) holder.setAttribute("aria-busy", "false");
  }
}

function zoom(from, to) {
  const wide = Math.min(Math.max(to - from, SHORTEST_MS), LONGEST_MS), middle = (from + to) / 2;
  const end = Math.min(middle + wide / 2, last() + 60e3);
  span = [Math.max(0, end - wide), end];
  chosen = true;
  press(hours);
  load();
}

function reset() {
  span = null;
  press(hours);
  load();
}

// zoom in or out around the middle; move by a share of what is shown
function step(by, share) {
  if (!shown) return;
  const { from_ms: from, to_ms: to } = shown, wide = (to - from) * by, middle = (from + to) / 2 + (to - from) * share;
  zoom(middle - wide / 2, middle + wide / 2);
}

const MOVES = { in: [0.5, 0], out: [2, 0], back: [1, -0.5], on: [1, 0.5] };
const KEYS = { "+": "in", "=": "in", "-": "out", ArrowLeft: "back", ArrowRight: "on" };

if (holder) {
  for (const button of document.querySelectorAll("[data-hours]"))
    button.addEventListener("click", () => {
      chosen = true;
      span = null;
      press(Number(button.dataset.hours));
      load();
    });
  for (const button of document.querySelectorAll("[data-chart-move]"))
    button.addEventListener("click", () => (button.dataset.chartMove === "all" ? reset() : step(...MOVES[button.dataset.chartMove])));
  for (const box of document.querySelectorAll("[data-chart-also]")) box.addEventListener("change", load);
  holder.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (KEYS[event.key]) step(...MOVES[KEYS[event.key]]);
    else if (event.key === "0" || event.key === "Escape") reset();
    else return;
    event.preventDefault();
  });
  holder.addEventListener("dblclick", reset);
  // Letters grow with the screen, so a new width is a new drawing.
  new ResizeObserver(() => { if (shown && holder.clientWidth !== drawnWide) requestAnimationFrame(draw); }).observe(document.documentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  press(PERIODS[0]);
  load();
  setInterval(() => { if (!document.hidden && span === null && hours <= 24 && !holder.dataset.until) load(); }, 30000);
}
