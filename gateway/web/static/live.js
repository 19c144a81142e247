// Keeps a page current: one event stream, ages and clocks that run, a banner when the picture is no longer current,
// and the siren. What a change looks like is decided by the server: the changing part of the page is fetched anew.

import { keep } from "./kept.js";
import { drawn, isHeld, isPressed, later, mustWait } from "./pressed.js";
import { attention, dutyCheck, fires, playing, playTest, setFaults, setWaiting, siren, startSound } from "./sound.js";

const texts = JSON.parse(document.body.dataset.texts);
const LOST_MS = 4500; // heartbeats come every 2 s; a lost connection shows within 5 s
const body = document.body;
let lastHeard = performance.now();
let lastHeardAt = Date.now();
const URGENT_MS = 60_000; // as gateway/web/duty.py
let clockOffset = 0; // server's clock minus this machine's
let gateway = { connected: body.dataset.connected === "true", since_ms: Number(body.dataset.since) };
let lost = false;
let source = null;
let asking = false; // the server gave this page no stream: it asks every two seconds instead
let refused = ""; // why

const now = () => Date.now() + clockOffset;
const $$ = (selector, root = document) => root.querySelectorAll(selector);
const wall = (ms, options) =>
  new Intl.DateTimeFormat("zh-CN", { timeZone: texts.zone, hourCycle: "h23", hour: "2-digit", minute: "2-digit", ...options }).format(ms);

function ago(ms) {
  const seconds = Math.max(0, Math.floor((now() - ms) / 1000));
  if (seconds < 3) return texts.now;
  if (seconds < 60) return texts.s.replace("{n}", seconds);
  if (seconds < 3600) return texts.min.replace("{n}", Math.floor(seconds / 60));
  if (seconds < 86400) return texts.h.replace("{n}", Math.floor(seconds / 3600));
  return texts.d.replace("{n}", Math.floor(seconds / 86400));
}

function lasted(ms) {
  const s = Math.max(0, Math.floor((now() - ms) / 1000));
  if (s >= 86400) return texts.dh.replace("{d}", Math.floor(s / 86400)).replace("{h}", Math.floor((s % 86400) / 3600));
  const two = (n) => String(n).padStart(2, "0");
  const h = Math.floor(s / 3600);
  return h ? `${h}:${two(Math.floor((s % 3600) / 60))}:${two(s % 60)}` : `${two(Math.floor(s / 60))}:${two(s % 60)}`;
}

// Time that is left, by the server's clock; zero only when it is over. The same as Texts.left.
function left(ms) {
  const s = Math.max(0, Math.ceil((ms - now()) / 1000));
  return `${String(Math.floor(s / 60)).padStart(2, "0")}:${String(s % 60).padStart(2, "0")}`;
}

function put(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

let tickedAt = Date.now();
let ticks = 0;
const MANY = 300; // ages on the page beyond which they are told less often
function tick() {
  // A clock that jumped, or a machine that slept: what happened meanwhile was missed.
  const step = Date.now() - tickedAt;
  tickedAt = Date.now();
  ticks += 1;
  if (step < -1000 || step > 15_000) resync();
  const silent = performance.now() - lastHeard > LOST_MS;
  if (silent !== lost) {
    lost = silent;
    if (!lost) refresh();
  }
  // A stream that hangs says nothing of it: begin another one, as often as it takes.
  if (lost && source && performance.now() - openedAt > REOPEN_MS) { source.close(); source = null; connect(); }
  showConnection();
  showAttention();
  reloadIfNew();
  put(document.querySelector("[data-clock]"), wall(now()));
  const ages = $$("[data-ago]");
  if (ages.length < MANY || ticks % 10 === 0) for (const e of ages) put(e, ago(Number(e.dataset.ago)));
  // The time of a duty check runs out whether the picture is current or not.
  for (const e of $$("[data-left]")) {
    put(e, left(Number(e.dataset.left)));
    e.closest(".duty")?.classList.toggle("is-urgent", Number(e.dataset.left) - now() < URGENT_MS);
  }
  for (const e of $$("[data-gone]")) e.hidden = now() >= Number(e.dataset.gone);
  // While nothing is known to be current, durations stand still: a running clock would claim that it still burns.
  if (!lost && gateway.connected) for (const e of $$("[data-lasted]")) put(e, lasted(Number(e.dataset.lasted)));
}

function showConnection() {
  body.classList.toggle("lost", lost);
  body.classList.toggle("away", !lost && !gateway.connected);
  const banner = document.querySelector("[data-banner]");
  if (!banner) return;
  const calm = !lost && gateway.connected;
  banner.hidden = calm && !asking;
  banner.classList.toggle("is-asking", calm && asking);
  const time = wall(lost ? lastHeardAt + clockOffset : gateway.since_ms, { second: "2-digit" });
  const said = calm ? `${refused} ${texts.asking}`.trim() : (lost ? (busy ? texts.busy : texts.lost) : texts.away).replace("{time}", time);
  if (!banner.hidden) put(banner.querySelector("[data-banner-text]"), said);
}

// What asks for somebody shows in the tab as well: its picture, and its title that blinks while nobody acknowledged.
const icon = document.querySelector("link[data-icon]");
const plainIcon = icon?.getAttribute("href");
let blink = false;
function showAttention() {
  if (!icon) return;
  const name = attention(lost || !gateway.connected);
  const href = icon.getAttribute(`data-icon-${name}`) ?? plainIcon;
  if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
  const marked = document.title.startsWith("▲ ");
  blink = name === "fire" || name === "duty" ? Math.floor(performance.now() / 1000) % 2 === 0 : false;
  if (blink !== marked) document.title = blink ? `▲ ${document.title}` : document.title.slice(2);
}

// --- a newer version -------------------------------------------------------------------------------------------------

let newer = "";
const RELOADED = "weizhan-reloaded";
const FIELDS = "textarea, select, input:not([type=checkbox], [type=radio], [type=hidden])";
function isBusy() {
  if (document.querySelector("dialog[open]") || body.classList.contains("is-dragging") || fires.size) return true;
  for (const e of $$(FIELDS)) {
    const first = e.matches("select") ? [...e.options].find((o) => o.defaultSelected)?.value ?? e.options[0]?.value : e.defaultValue;
    if (e.value !== (first ?? "")) return true;
  }
  return false;
}
// Scripts and templates are others since the page was loaded. Two servers that differ must not make it load for ever.
function reloadIfNew() {
  if (!newer || lost || isBusy()) return;
  try {
    if (sessionStorage.getItem(RELOADED) === newer) return;
    sessionStorage.setItem(RELOADED, newer);
  } catch { return; }
  location.reload();
}

// --- the changing part of the page ---------------------------------------------------------------------------------

let refreshTimer = 0;
let refreshAt = 0;
let askedAt = 0; // when the fetch now under way began, 0 without one
const PATIENCE_MS = 5000;
let swappedAt = -1000;
const TYPING_MS = 60_000; // a field that was left alone for so long does not keep the page from the present
let typedAt = -TYPING_MS;
for (const name of ["input", "focusin"]) document.addEventListener(name, () => { typedAt = performance.now(); });
const SETTLE_MS = 60; // htmx listens to what it has drawn 20 ms later: asked before that, it would not hear
function refresh(delay = 120) {
  // The earlier of two wishes counts: an alarm must not wait for something that had time.
  const at = performance.now() + delay;
  if (refreshTimer && at >= refreshAt) return;
  clearTimeout(refreshTimer);
  refreshAt = at;
  refreshTimer = setTimeout(() => {
    refreshTimer = 0;
    // What is on its way may have been drawn before this change: look again when it is here.
    if ((askedAt && performance.now() - askedAt < PATIENCE_MS) || performance.now() - swappedAt < SETTLE_MS) { refresh(50); return; }
    const live = document.getElementById("live");
    if (!live) return;
    if (writesIn(live) || body.classList.contains("is-dragging")) refresh(500); // their words come first
    else if (mustWait()) refresh(30);
    else window.htmx.trigger(live, "refresh");
  }, delay);
}
function writesIn(live) {
  const field = document.activeElement;
  return live.contains(field) && field.matches(FIELDS) && performance.now() - typedAt < TYPING_MS;
}

// Duty checks of the pages other than the board: nothing is written in there, so it may be drawn at once.
function refreshDuty() {
  const place = document.getElementById("duty");
  if (place && mustWait()) later(refreshDuty);
  else if (place) window.htmx.trigger(place, "refresh");
}

function format(value, element) {
  if (value === null) return "—";
  if (typeof value === "boolean") return value ? texts.yes : texts.no;
  if (typeof value === "string") return element.dataset.kind === "text" ? value : texts.state[value] ?? value;
  return value.toFixed(Number(element.dataset.decimals) || 0);
}

function showReadings(rows) {
  for (const [point, observedMs, value, quality] of rows) {
    for (const element of $$(`[data-point="${CSS.escape(point)}"]`)) {
      if (!element.matches("output")) continue;
      // An event is told in words, and those the server has.
      if (element.dataset.kind === "event" || quality !== "good" || element.dataset.status !== "good") { refresh(1000); continue; }
      put(element, format(value, element));
      const age = element.closest("[data-row], li")?.querySelector(".age [data-ago]");
      if (age && Number(age.dataset.ago) <= observedMs) age.dataset.ago = observedMs;
    }
  }
}

// --- the stream ------------------------------------------------------------------------------------------------------

function heard() {
  lastHeard = performance.now();
  lastHeardAt = Date.now();
  if (lost) tick();
}

function setGateway(state) {
  setWaiting(state.fires, state.duty);
  setFaults(state.faults);
  if (state.version && body.dataset.version && state.version !== body.dataset.version) newer = state.version;
  clockOffset = state.now_ms - Date.now();
  if (Math.abs(clockOffset) < 1500) clockOffset = 0;
  const changed = gateway.connected !== state.connected;
  gateway = state;
  if (changed) { refresh(); refreshDuty(); }
  showConnection();
}

const REOPEN_MS = 4000;
let openedAt = 0;

// --- without a stream ------------------------------------------------------------------------------------------------

// The stream was refused, or something on the way lets none through: ask for its heartbeat until there is one again.
// When the session is over, the sign-in is what there is to show.
const ASK_MS = 2000;
const TRY_MS = 3000; // a stream is tried anew as often
const DRAW_MS = 10_000; // values are no changes that are counted
let askTimer = 0;
let busy = false; // the server answers, but takes no more connections
let drawnAt = 0;
async function ask() {
  clearTimeout(askTimer);
  askTimer = 0;
  if (source && source.readyState !== EventSource.CLOSED) return;
  const answer = await fetch("/api/v1/heartbeat", { headers: { Accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(LOST_MS) }).catch(() => null);
  if (answer?.status === 401) { location.reload(); return; }
  const state = answer?.ok ? await answer.json().catch(() => null) : null;
  busy = answer?.status === 503 && !answer.headers.get("Content-Type")?.includes("json");
  if (source && source.readyState !== EventSource.CLOSED) return;
  if (state) {
    asking = true;
    refused = state.refused ?? "";
    heard();
    const before = fires.size;
    setGateway(state);
    if (fires.size > before) body.dispatchEvent(new CustomEvent("weizhan:fire"));
    if (String(state.changes) !== body.dataset.changes) { refresh(20); refreshDuty(); drawnAt = performance.now(); }
    else if (performance.now() - drawnAt > DRAW_MS) { refresh(); drawnAt = performance.now(); }
    body.dataset.changes = state.changes;
  }
  if (document.hidden && !listensHidden()) return;
  if (!state?.refused && performance.now() - openedAt > TRY_MS) connect();
  if (!askTimer) askTimer = setTimeout(ask, ASK_MS);
}
const listensHidden = () => body.classList.contains("page-board") || playing();

// Back from sleep, or from a page in the background: whatever the stream seems to be, look anew.
function resync() {
  if (document.hidden && !body.classList.contains("page-board")) return;
  source?.close();
  source = null;
  connect();
  refresh(0);
  refreshDuty();
}

function connect() {
  if (source || !body.dataset.stream) return;
  openedAt = performance.now();
  source = new EventSource(body.dataset.stream);
  const on = (name, act) => source.addEventListener(name, (event) => { heard(); act(JSON.parse(event.data)); });
  // What changed between drawing and connecting, or while the connection was lost, was missed: draw anew.
  let fresh = true;
  let opened = false;
  source.addEventListener("open", () => { asking = busy = false; if (opened) { refresh(); refreshDuty(); } opened = fresh = true; });
  source.addEventListener("error", () => { if (source?.readyState === EventSource.CLOSED) { source = null; ask(); } });
  on("heartbeat", (state) => {
    setGateway(state);
    if (fresh && String(state.changes) !== body.dataset.changes) { refresh(20); refreshDuty(); }
    // Values are not counted as changes: those told between drawing and listening were missed.
    else if (fresh && document.querySelector("output[data-point]")) refresh(1000);
    fresh = false;
    body.dataset.changes = state.changes;
  });
  on("gateway", setGateway);
  on("alarm", (alarm) => { siren(alarm); refresh(20); });
  on("duty", (check) => { dutyCheck(check); refresh(20); refreshDuty(); });
  on("agent", () => refresh());
  on("unknown_device", () => refresh(2000));
  on("standing", () => refresh());
  on("entry", () => refresh());
  on("proof", () => refresh(1000));
  on("notice", () => refresh(1000));
  on("path", prove);
  on("configuration", () => refresh(500));
  on("reading", showReadings);
}

// Pages other than the board give their connection back while nobody looks: a browser has only six for a server.
document.addEventListener("visibilitychange", () => {
  // One that sounds the siren goes on listening: a fire must sound, and an acknowledged one must fall silent.
  if (body.classList.contains("page-board")) { if (!document.hidden) refresh(0); return; }
  if (document.hidden && playing()) return;
  if (document.hidden) { source?.close(); source = null; }
  else if (!source) { lastHeard = performance.now(); connect(); refresh(); refreshDuty(); }
});

// --- proof of the path -----------------------------------------------------------------------------------------------

// A screen proves the way to people only when somebody at it would see and hear an alarm: it is looked at, it draws, and
// its sound is unlocked.
function prove({ token, sound }) {
  if (body.dataset.prove !== "true" || document.hidden || !playing() || lost) return;
  requestAnimationFrame(() => requestAnimationFrame(() => {
    if (!playing()) return;
    if (sound) playTest();
    const { "X-CSRF-Token": csrf } = JSON.parse(body.getAttribute("hx-headers"));
    fetch("/api/v1/path-receipt", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      body: JSON.stringify({ token }),
    }).catch(() => {}); // a receipt that does not arrive is a path that is not proven: the gateway says so
  }));
}

// --- the rest --------------------------------------------------------------------------------------------------------

function toast(text) {
  const element = document.createElement("div");
  element.className = "toast";
  element.textContent = text;
  document.querySelector("[data-toasts]").append(element);
  setTimeout(() => element.remove(), 8000);
}

// A tick that was not kept is none.
body.addEventListener("htmx:afterRequest", ({ detail: { successful, requestConfig } }) => {
  const box = requestConfig?.elt;
  if (!successful && box?.matches?.("[data-tick]")) { box.checked = !box.checked; toast(texts.not_saved); }
});
body.addEventListener("htmx:responseError", (event) => {
  const said = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html").body.textContent.trim();
  if (event.detail.requestConfig?.verb !== "get" && said) toast(said);
});
// Who asked, not who is told: the element that asked is gone once its answer stands in its place.
const isRefresh = ({ detail: { requestConfig } }) => requestConfig?.elt?.id === "live" && requestConfig.verb === "get";
body.addEventListener("htmx:beforeRequest", (event) => { if (isRefresh(event)) askedAt = performance.now(); });
body.addEventListener("htmx:afterRequest", (event) => {
  if (isRefresh(event)) askedAt = 0;
  if (event.detail.xhr?.status === 204) refresh(20); // done, and the page it was done on shows it anew
});
let putBack = null;
body.addEventListener("htmx:beforeSwap", (event) => {
  const { detail } = event;
  const live = document.getElementById("live");
  if (detail.shouldSwap && mustStand(event, live)) { detail.shouldSwap = false; return; }
  putBack = live && keep(live, isRefresh(event) ? null : detail.requestConfig?.elt);
});
// Whether an answer comes while its place must not change. A picture is asked for again; what became of an act is shown later.
function mustStand({ detail }, live) {
  const { target, xhr, requestConfig } = detail;
  if (requestConfig?.verb === "get") {
    if (!["refresh", undefined].includes(requestConfig.triggeringEvent?.type)) return false; // somebody asked for it
    const busy = target === live && (writesIn(live) || body.classList.contains("is-dragging"));
    if (!busy && !isHeld()) return false;
    if (target === live) refresh(30);
    else if (target.id === "duty") later(refreshDuty);
    return true; // any other asks every second or two by itself
  }
  if (!isPressed() || !target?.id) return false;
  later(() => {
    const place = document.getElementById(target.id);
    putBack = live && keep(document.getElementById("live"), requestConfig.elt);
    const how = requestConfig.elt.closest("[hx-swap]")?.getAttribute("hx-swap") ?? "innerHTML";
    if (place) window.htmx.swap(place, xhr.responseText, { swapStyle: how, swapDelay: 0, settleDelay: 20 }, { eventInfo: detail });
    refresh(SETTLE_MS);
  });
  return true;
}
body.addEventListener("htmx:afterSwap", () => {
  swappedAt = performance.now();
  drawn();
  putBack?.();
  putBack = null;
  const live = document.getElementById("live");
  if (live?.dataset.title) document.title = document.title.replace(/^.*? · /, `${live.dataset.title} · `); // the mark comes back with the tick
  tick();
});
document.addEventListener("click", (event) => {
  for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of $$("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
});

startSound({ texts, now, toast });
connect();
tick();
setInterval(tick, 500);
// Staleness comes by itself, without any event.
setInterval(() => { if (!lost && !document.hidden) { refresh(); refreshDuty(); } }, 30000);
