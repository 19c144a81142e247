// What a chart looks like: numbers as bands from minimum to maximum with the mean on them, thresholds as they were in
// force, what happened as marks, truths and states as strips, and all of it as a table.

export const texts = JSON.parse(document.body.dataset.texts);
const SVG = "http://www.w3.org/2000/svg";
const INKS = ["--accent", "--warning-text", "--good", "--info", "--critical", "--muted"];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [1, 4]];
const MARKS = { alarm: "!", work: "W", duty: "D", drill: "T" };
const ROWS = 200;

export const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const zoned = (options) => new Intl.DateTimeFormat("zh-CN", { timeZone: texts.zone, hourCycle: "h23", ...options });
const clock = zoned({ hour: "2-digit", minute: "2-digit" });
const seconds = zoned({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = zoned({ month: "2-digit", day: "2-digit" });
export const stamp = (ms) => `${zoned({ year: "numeric", month: "2-digit", day: "2-digit" }).format(ms).replaceAll("/", "-")} ${seconds.format(ms)}`;
const number = (v, unit = "") => (v === null || v === undefined ? "—" : `${Number(v.toFixed(2))}${unit ? ` ${unit}` : ""}`);
const font = (size = 0.8) => `${size * rem()}px ${getComputedStyle(document.body).fontFamily}`;

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

// One column of times for all points; a gap of one is a null of that one alone.
function columns(answer, series) {
  const times = new Set();
  const found = series.map((one) => {
    const rows = new Map();
    let last;
    for (const bucket of one.buckets) {
      if (bucket === null) {
        if (last !== undefined) rows.set(last + answer.bucket_ms, [null, null, null]);
      } else rows.set((last = bucket[0]), [bucket[3], bucket[1], bucket[2]]);
    }
    for (const time of rows.keys()) times.add(time);
    return rows;
  });
  const ordered = [...times].sort((a, b) => a - b);
  // undefined: nothing said at this time of another point, the line goes on; null: a gap.
  const lines = found.flatMap((rows) => [0, 1, 2].map((n) => ordered.map((time) => rows.get(time)?.[n])));
  return [ordered.map((ms) => ms / 1000), ...lines];
}

export function drawNumbers(holder, answer, series, onZoom) {
  const data = columns(answer, series);
  const units = [...new Set(series.map((one) => one.unit))];
  const ink = css("--muted"), line = css("--line");
  const axis = { stroke: ink, ticks: { stroke: line, width: 1 }, font: font() };
  const scales = { x: { range: () => [answer.from_ms / 1000, answer.to_ms / 1000] } };
  units.forEach((unit, n) => {
    const limits = answer.thresholds.filter((each) => series.some((one) => one.point === each.point && one.unit === unit)).flatMap((each) => each.steps.map((step) => step[1]).filter((at) => at !== null));
    scales[`y${n}`] = { range: (_, low, high) => {
      if (low === null || high === null) return [0, 1];
      // A limit near the values belongs in the picture; a far one would only flatten it.
      const span = Math.max(high - low, Math.abs(high) * 0.04, 0.5);
      for (const at of limits) { if (at >= low - 2 * span && at < low) low = at; if (at <= high + 2 * span && at > high) high = at; }
      const pad = Math.max((high - low) * 0.08, span * 0.05);
      return [low - pad, high + pad];
    } };
  });
  const shown = [{ label: texts.time, value: (_, v) => (v === null ? "—" : stamp(v * 1000)) }], bands = [];
  series.forEach((one, n) => {
    const stroke = css(INKS[n % INKS.length]), scale = `y${units.indexOf(one.unit)}`;
    const named = series.length > 1 ? `${one.title} · ` : "";
    const edge = { stroke, scale, width: 0.5, points: { show: false }, value: (_, v) => number(v, one.unit) };
    shown.push({ ...edge, label: named + texts.highest }, { ...edge, label: named + texts.lowest }, { ...edge, label: named + texts.mean, width: rem() / 8, dash: DASHES[n % DASHES.length], points: undefined });
    bands.push({ series: [3 * n + 1, 3 * n + 2], fill: `color-mix(in srgb, ${stroke} ${series.length > 1 ? 12 : 22}%, transparent)` });
  });
  const last = data[3].findLastIndex((v) => v !== null && v !== undefined);
  const axes = [{ ...axis, grid: { stroke: line, width: 1 }, values: (_, splits, __, ___, step) => axisLabels(splits, step), size: 3 * rem(), space: 4.5 * rem() }];
  units.slice(0, 2).forEach((unit, n) => axes.push({ ...axis, scale: `y${n}`, side: n ? 1 : 3, grid: { show: n === 0, stroke: line, width: 1 }, size: 4.4 * rem(), space: 2.2 * rem(), label: units.length > 1 ? unit : undefined, labelFont: font(), labelSize: 1.2 * rem() }));
  return new uPlot({
    ...size(holder), scales, axes, series: shown, bands,
    cursor: { drag: { x: true, y: false, setScale: false } },
    tzDate: (s) => uPlot.tzDate(new Date(s * 1000), texts.zone),
    hooks: {
      drawClear: [(u) => drawSpans(u, answer)],
      draw: [(u) => { for (const each of answer.thresholds) drawLimit(u, each, answer, `y${Math.max(0, units.indexOf(series.find((one) => one.point === each.point)?.unit))}`, series); drawEvents(u, answer); }],
      // With no pointer in the chart the legend tells the newest values.
      ready: [(u) => u.setLegend({ idx: last })],
      setCursor: [(u) => { if (u.cursor.idx === null || u.cursor.left < 0) u.setLegend({ idx: last }); }],
      setSelect: [(u) => {
        if (u.select.width < 4) return;
        const ends = [u.select.left, u.select.left + u.select.width].map((x) => Math.round(u.posToVal(x, "x") * 1000));
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        onZoom(...ends);
      }],
    },
  }, data, holder);
}

function size(holder) {
  const width = holder.clientWidth - rem();
  return { width, height: Math.round(Math.max(15 * rem(), Math.min(width * 0.45, 26 * rem()))) };
}

function inBox(u, work) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  work(ctx, bbox);
  ctx.restore();
}

// A limit in steps as it was in force; where it moved, a ring.
function drawLimit(u, limit, answer, scale, series) {
  const high = 0.85 * rem() * devicePixelRatio, gap = 0.3 * rem() * devicePixelRatio;
  const colour = css(limit.severity === "warning" ? "--warning-text" : `--${limit.severity}`);
  inBox(u, (ctx, bbox) => {
    ctx.strokeStyle = ctx.fillStyle = colour;
    ctx.lineWidth = 0.09 * rem() * devicePixelRatio;
    ctx.setLineDash(limit.severity === "warning" ? [6 * devicePixelRatio, 4 * devicePixelRatio] : []);
    ctx.beginPath();
    let before = null;
    limit.steps.forEach(([from, at], n) => {
      const end = limit.steps[n + 1]?.[0] ?? answer.to_ms;
      if (at === null) { before = null; return; }
      const y = u.valToPos(at, scale, true), x = u.valToPos(from / 1000, "x", true);
      if (before === null) ctx.moveTo(x, y); else ctx.lineTo(x, y);
      ctx.lineTo(u.valToPos(end / 1000, "x", true), y);
      before = at;
    });
    ctx.stroke();
    ctx.setLineDash([]);
    for (const moved of limit.changes) {
      const at = limit.steps.findLast((step) => step[0] <= moved)?.[1];
      if (at === null || at === undefined) continue;
      ctx.beginPath();
      ctx.arc(u.valToPos(moved / 1000, "x", true), u.valToPos(at, scale, true), gap, 0, 2 * Math.PI);
      ctx.stroke();
    }
    const [from, at] = limit.steps.findLast((step) => step[1] !== null) ?? [];
    if (at === undefined) return;
    const y = u.valToPos(at, scale, true);
    if (y < bbox.top || y > bbox.top + bbox.height) return;
    ctx.font = font(0.85 * devicePixelRatio);
    ctx.textBaseline = "middle";
    const name = series.length > 1 ? `${series.find((one) => one.point === limit.point)?.title ?? ""} ` : "";
    const text = `${name}${texts.severity[limit.severity]} ${limit.side === "below" ? "<" : ">"} ${Number(at.toFixed(2))}`;
    const wide = ctx.measureText(text).width;
    const left = Math.max(bbox.left + gap, Math.min(u.valToPos(from / 1000, "x", true) + 2 * gap, bbox.left + bbox.width - wide - gap));
    const middle = y - high * 1.3 - gap > bbox.top ? y - gap - high * 0.65 : y + gap + high * 0.65;
    ctx.globalAlpha = 0.85;
    ctx.fillStyle = css("--surface");
    ctx.fillRect(left - gap / 2, middle - high * 0.6, wide + gap, high * 1.2);
    ctx.globalAlpha = 1;
    ctx.fillStyle = colour;
    ctx.fillText(text, left, middle);
  });
}

const inkOf = (event) => css(event.severity === "warning" ? "--warning-text" : event.severity ? `--${event.severity}` : "--muted");

// Alarms that held and drills are a tint behind the lines.
function drawSpans(u, answer) {
  inBox(u, (ctx, bbox) => {
    for (const event of answer.events) {
      if (event.kind !== "drill" && event.kind !== "alarm") continue;
      const left = u.valToPos(event.at_ms / 1000, "x", true), right = u.valToPos((event.until_ms ?? answer.to_ms) / 1000, "x", true);
      ctx.globalAlpha = 0.08;
      ctx.fillStyle = inkOf(event);
      ctx.fillRect(left, bbox.top, Math.max(right - left, devicePixelRatio), bbox.height);
    }
  });
}

function drawEvents(u, answer) {
  const side = 1.15 * rem() * devicePixelRatio;
  inBox(u, (ctx, bbox) => {
    let free = -Infinity;
    ctx.font = `bold ${font(0.75 * devicePixelRatio)}`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    for (const event of answer.events) {
      const x = u.valToPos(Math.max(event.at_ms, answer.from_ms) / 1000, "x", true);
      ctx.strokeStyle = ctx.fillStyle = inkOf(event);
      ctx.globalAlpha = 0.6;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.globalAlpha = 1;
      if (x < free) continue; // marks of many events lie in the table
      free = x + side * 1.1;
      ctx.fillRect(x - side / 2, bbox.top, side, side);
      ctx.fillStyle = css("--surface");
      ctx.fillText(MARKS[event.kind], x, bbox.top + side / 2);
    }
  });
}

function titled(series) {
  const head = document.createElement("h3");
  head.className = "strip-title";
  head.textContent = series.title;
  return head;
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

export function drawStrip(holder, answer, series) {
  // The strip is drawn as for letters of 16 px and scaled with them.
  const width = ((holder.clientWidth - rem()) * 16) / rem(), span = answer.to_ms - answer.from_ms;
  const x = (ms) => ((ms - answer.from_ms) / span) * width;
  const svg = node("svg", { class: "strip", viewBox: `0 0 ${width} 88`, role: "img", "aria-label": series.title });
  const pattern = node("pattern", { id: "gap", width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  pattern.append(node("line", { x1: 0, y1: 0, x2: 0, y2: 8, class: "gap-line", "stroke-width": 2, "stroke-opacity": 0.35 }));
  const defs = node("defs", {});
  defs.append(pattern);
  svg.append(defs, node("rect", { x: 0, y: 8, width, height: 44, class: "gap" }));
  for (const [start, end, value, quality] of series.segments) {
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
  holder.append(titled(series), svg, changes(series.segments));
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

function cells(row, parts, head) {
  for (const text of parts) {
    const cell = row.appendChild(document.createElement(head ? "th" : "td"));
    if (head) cell.scope = "col";
    cell.textContent = text;
  }
}

// The same for those who do not see the picture: what happened, then the values.
export function drawTable(box, answer) {
  const events = document.createElement("ul");
  events.className = "chart-events";
  for (const event of answer.events.slice(-ROWS).reverse()) {
    const item = events.appendChild(document.createElement("li"));
    const mark = item.appendChild(document.createElement("b"));
    mark.textContent = MARKS[event.kind];
    mark.className = `mark-${event.kind}${event.severity ? ` sev-${event.severity}` : ""}`;
    const link = item.appendChild(document.createElement("a"));
    link.href = event.link;
    link.textContent = `${texts.happened[event.kind]} · ${event.title}`;
    item.append(` ${stamp(event.at_ms)}${event.until_ms ? ` – ${stamp(event.until_ms)}` : ""}`);
  }
  for (const limit of answer.thresholds) for (const moved of limit.changes) {
    const item = events.appendChild(document.createElement("li"));
    const at = limit.steps.findLast((step) => step[0] <= moved)?.[1];
    item.textContent = `${texts.limit_moved} · ${limit.title}: ${number(at)} ${stamp(moved)}`;
  }
  const table = document.createElement("table");
  table.className = "plain";
  for (const one of answer.series.filter((each) => each.is_number)) {
    const rows = one.buckets.slice(-ROWS).reverse();
    cells(table.insertRow(), [`${one.title} ${one.unit}`, texts.lowest, texts.mean, texts.highest], true);
    for (const bucket of rows) cells(table.insertRow(), bucket === null ? [texts.gap, "", "", ""] : [stamp(bucket[0]), ...bucket.slice(1, 4).map((v) => number(v))]);
  }
  box.replaceChildren(events, ...(table.rows.length ? [table] : []));
}
