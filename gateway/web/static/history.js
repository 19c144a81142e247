// History of one point: numbers as a band from minimum to maximum with the mean on it, truths and states as a strip.

const texts = JSON.parse(document.body.dataset.texts);
const holder = document.querySelector("[data-chart]");
const SVG = "http://www.w3.org/2000/svg";
const PERIODS = [1, 24, 168, 720, 8760]; // hours
let hours = 24;
let chosen = false; // by the reader, or because values were found
let drawnWide = 0;
let plot = null;
let shown = null;
let asked = 0;

const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const zoned = (options) => new Intl.DateTimeFormat("zh-CN", { timeZone: texts.zone, hourCycle: "h23", ...options });
const clock = zoned({ hour: "2-digit", minute: "2-digit" });
const seconds = zoned({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = zoned({ month: "2-digit", day: "2-digit" });
const stamp = (ms) => `${zoned({ year: "numeric", month: "2-digit", day: "2-digit" }).format(ms).replaceAll("/", "-")} ${seconds.format(ms)}`;

function axisLabels(splits, step) {
  let last = "";
  return splits.map((s) => {
    const date = day.format(s * 1000).replace("/", "-");
    if (step >= 86400) return date;
    const text = step < 60 ? seconds.format(s * 1000) : clock.format(s * 1000);
    const label = date !== last ? `${text}\n${date}` : text;
    last = date;
    return label;
  });
}

function said(text) {
  plot?.destroy();
  plot = null;
  holder.replaceChildren();
  const p = document.createElement("p");
  p.className = "chart-said muted";
  p.textContent = text;
  holder.append(p);
}

function drawNumbers(answer) {
  const rows = [[], [], [], []];
  for (const bucket of answer.buckets) {
    if (bucket === null) {
      const last = rows[0].at(-1);
      if (last !== undefined) [last + answer.bucket_ms / 1000, null, null, null].forEach((v, n) => rows[n].push(v));
    } else [bucket[0] / 1000, bucket[3], bucket[1], bucket[2]].forEach((v, n) => rows[n].push(v));
  }
  if (!rows[0].length) return said(texts.no_data);
  const unit = holder.dataset.unit ? ` ${holder.dataset.unit}` : "";
  const limits = JSON.parse(holder.dataset.limits);
  const ink = css("--muted"), line = css("--line"), accent = css("--accent");
  const number = (v) => (v === null || v === undefined ? "—" : `${Number(v.toFixed(2))}${unit}`);
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: `${0.8 * rem()}px ${getComputedStyle(document.body).fontFamily}` };
  const last = rows[3].findLastIndex((v) => v !== null);
  const options = {
    ...size(), cursor: { drag: { x: true, y: false } },
    tzDate: (s) => uPlot.tzDate(new Date(s * 1000), texts.zone),
    scales: {
      x: { range: () => [answer.from_ms / 1000, answer.to_ms / 1000] },
      y: { range: (_, low, high) => {
        // A limit near the values belongs in the picture; a far one would only flatten it.
        const span = Math.max(high - low, Math.abs(high) * 0.04, 0.5);
        for (const limit of limits) { if (limit.at >= low - 2 * span && limit.at < low) low = limit.at; if (limit.at <= high + 2 * span && limit.at > high) high = limit.at; }
        const pad = Math.max((high - low) * 0.08, span * 0.05);
        return [low - pad, high + pad];
      } },
    },
    axes: [{ ...axis, values: (_, splits, __, ___, step) => axisLabels(splits, step), size: 3 * rem(), space: 4.5 * rem() }, { ...axis, size: 4.4 * rem(), space: 2.2 * rem() }],
    series: [
      { label: texts.time, value: (_, v) => (v === null ? "—" : stamp(v * 1000)) },
      { label: texts.highest, stroke: accent, width: 0.5, points: { show: false }, value: (_, v) => number(v) },
      { label: texts.lowest, stroke: accent, width: 0.5, points: { show: false }, value: (_, v) => number(v) },
      { label: texts.mean, stroke: accent, width: rem() / 8, value: (_, v) => number(v) },
    ],
    bands: [{ series: [1, 2], fill: `color-mix(in srgb, ${accent} 22%, transparent)` }],
    // With no pointer in the chart the legend tells the newest values.
    hooks: {
      draw: [(u) => drawLimits(u, limits)],
      ready: [(u) => u.setLegend({ idx: last })],
      setCursor: [(u) => { if (u.cursor.idx === null || u.cursor.left < 0) u.setLegend({ idx: last }); }],
    },
  };
  plot?.destroy();
  holder.replaceChildren();
  plot = new uPlot(options, rows, holder);
}

function size() {
  const width = holder.clientWidth - rem();
  return { width, height: Math.round(Math.max(15 * rem(), Math.min(width * 0.45, 26 * rem()))) };
}

function drawLimits(u, limits) {
  const { ctx, bbox } = u;
  const high = 0.85 * rem() * devicePixelRatio, gap = 0.3 * rem() * devicePixelRatio;
  const taken = [];
  for (const limit of limits) {
    const y = u.valToPos(limit.at, "y", true);
    if (y < bbox.top || y > bbox.top + bbox.height) continue;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = css(limit.severity === "warning" ? "--warning-text" : `--${limit.severity}`);
    ctx.lineWidth = 0.09 * rem() * devicePixelRatio;
    ctx.setLineDash(limit.severity === "warning" ? [6 * devicePixelRatio, 4 * devicePixelRatio] : []);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.font = `${high}px ${getComputedStyle(document.body).fontFamily}`;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    const text = `${texts.severity[limit.severity]} ${limit.side === "below" ? "<" : ">"} ${Number(limit.at.toFixed(2))}`;
    const wide = ctx.measureText(text).width;
    // Above its line, below it at the upper edge, and beside a label that is there already.
    const middle = y - high * 1.3 - gap > bbox.top ? y - gap - high * 0.65 : y + gap + high * 0.65;
    let left = bbox.left + 2 * gap;
    for (const other of taken) if (Math.abs(other.middle - middle) < high * 1.4 && left < other.right) left = other.right + 3 * gap;
    taken.push({ middle, right: left + wide });
    const ink = ctx.fillStyle;
    ctx.globalAlpha = 0.85;
    ctx.fillStyle = css("--surface");
    ctx.fillRect(left - gap / 2, middle - high * 0.6, wide + gap, high * 1.2);
    ctx.globalAlpha = 1;
    ctx.fillStyle = ink;
    ctx.fillText(text, left, middle);
    ctx.restore();
  }
}

const word = (value) => (value === null ? texts.gap : typeof value === "boolean" ? (value ? texts.yes : texts.no) : texts.state[value] ?? value);
function kind(value) {
  if (value === null) return "is-none";
  if (typeof value === "boolean") return value ? "is-true" : "is-false";
  return ["normal", "fire", "fault"].includes(value) ? `is-${value}` : value === "auto" ? "is-normal" : "is-other";
}

function node(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function drawStates(answer) {
  if (!answer.segments.length) return said(texts.no_data);
  // The strip is drawn as for letters of 16 px and scaled with them.
  const width = ((holder.clientWidth - rem()) * 16) / rem(), span = answer.to_ms - answer.from_ms;
  const x = (ms) => ((ms - answer.from_ms) / span) * width;
  const svg = node("svg", { class: "strip", viewBox: `0 0 ${width} 88`, role: "img", "aria-label": holder.dataset.title });
  const pattern = node("pattern", { id: "gap", width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  pattern.append(node("line", { x1: 0, y1: 0, x2: 0, y2: 8, class: "gap-line", "stroke-width": 2, "stroke-opacity": 0.35 }));
  const defs = node("defs", {});
  defs.append(pattern);
  svg.append(defs, node("rect", { x: 0, y: 8, width, height: 44, class: "gap" }));
  for (const [start, end, value, quality] of answer.segments) {
    const left = x(start), wide = Math.max(1.5, x(end) - left);
    const group = node("g", {});
    const rect = node("rect", { x: left, y: 8, width: wide, height: 44, class: kind(value) });
    rect.append(node("title", {}, `${word(value)} ${stamp(start)} – ${stamp(end)}${quality === "good" ? "" : ` (${quality})`}`));
    group.append(rect);
    if (wide > 48) group.append(node("text", { x: left + 8, y: 35 }, word(value)));
    svg.append(group);
  }
  for (let n = 0; n <= 6; n++) {
    const at = answer.from_ms + (span * n) / 6;
    svg.append(node("line", { class: "tick", x1: x(at), x2: x(at), y1: 52, y2: 58 }));
    const label = span > 3 * 86400e3 ? day.format(at).replace("/", "-") : clock.format(at);
    svg.append(node("text", { class: "axis", x: Math.min(Math.max(x(at), 2), width - 2), y: 74, "text-anchor": n === 0 ? "start" : n === 6 ? "end" : "middle" }, label));
  }
  plot?.destroy();
  plot = null;
  holder.replaceChildren(svg, changes(answer.segments));
}

function changes(segments) {
  const box = document.createElement("div");
  box.className = "changes";
  const table = box.appendChild(document.createElement("table"));
  for (const [start, end, value] of segments.slice(-50).reverse()) {
    const row = table.insertRow();
    for (const text of [word(value), `${stamp(start)} – ${stamp(end)}`]) row.insertCell().textContent = text;
  }
  return box;
}

function draw() {
  if (!shown) return;
  drawnWide = holder.clientWidth;
  if (holder.dataset.number === "true") drawNumbers(shown);
  else drawStates(shown);
}

const hasValues = (answer) => answer.buckets?.some((bucket) => bucket !== null) || answer.segments?.some((run) => run[2] !== null);

function press(wanted) {
  hours = wanted;
  for (const button of document.querySelectorAll("[data-hours]")) button.setAttribute("aria-pressed", String(Number(button.dataset.hours) === hours));
}

async function load() {
  const turn = ++asked;
  const to = Date.now();
  const query = new URLSearchParams({ point: holder.dataset.point, from_ms: Math.round(to - hours * 3600e3), to_ms: to });
  try {
    const response = await fetch(`/api/v1/history?${query}`);
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
  }
}

if (holder) {
  for (const button of document.querySelectorAll("[data-hours]"))
    button.addEventListener("click", () => {
      chosen = true;
      press(Number(button.dataset.hours));
      load();
    });
  // Letters grow with the screen, so a new width is a new drawing.
  new ResizeObserver(() => { if (shown && holder.clientWidth !== drawnWide) requestAnimationFrame(draw); }).observe(document.documentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  press(PERIODS[0]);
  load();
  setInterval(() => { if (!document.hidden && hours <= 24) load(); }, 30000);
}
