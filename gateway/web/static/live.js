// Keeps a page current: one event stream, ages and clocks that run, a banner when the picture is no longer current,
// and the siren. What a change looks like is decided by the server: the changing part of the page is fetched anew.

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

function tick() {
  const silent = performance.now() - lastHeard > LOST_MS;
  if (silent !== lost) {
    lost = silent;
    if (!lost) refresh();
  }
  showConnection();
  put(document.querySelector("[data-clock]"), wall(now()));
  for (const e of $$("[data-ago]")) put(e, ago(Number(e.dataset.ago)));
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
  banner.hidden = !lost && gateway.connected;
  const time = wall(lost ? lastHeardAt + clockOffset : gateway.since_ms, { second: "2-digit" });
  if (!banner.hidden) put(banner.querySelector("[data-banner-text]"), (lost ? texts.lost : texts.away).replace("{time}", time));
}

// --- the changing part of the page ---------------------------------------------------------------------------------

let refreshTimer = 0;
let refreshAt = 0;
let askedAt = 0; // when the fetch now under way began, 0 without one
const PATIENCE_MS = 5000;
let swappedAt = -1000;
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
    // Somebody is writing into it: their words come first, the next change or the timer brings the rest.
    const field = document.activeElement;
    if (live && !(field && live.contains(field) && field.matches("textarea, select, input:not([type=checkbox], [type=radio])")))
      window.htmx.trigger(live, "refresh");
  }, delay);
}

// Duty checks of the pages other than the board: nothing is written in there, so it may be drawn at once.
function refreshDuty() {
  const place = document.getElementById("duty");
  if (place) window.htmx.trigger(place, "refresh");
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
  fires = new Set(state.fires);
  if (checks) checks = new Map(state.duty);
  clockOffset = state.now_ms - Date.now();
  if (Math.abs(clockOffset) < 1500) clockOffset = 0;
  const changed = gateway.connected !== state.connected;
  gateway = state;
  if (changed) { refresh(); refreshDuty(); }
  showConnection();
}

function connect() {
  if (source || !body.dataset.stream) return;
  source = new EventSource(body.dataset.stream);
  const on = (name, act) => source.addEventListener(name, (event) => { heard(); act(JSON.parse(event.data)); });
  // What changed between drawing and connecting, or while the connection was lost, was missed: draw anew.
  let fresh = true;
  let opened = false;
  source.addEventListener("open", () => { if (opened) { refresh(); refreshDuty(); } opened = fresh = true; });
  source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) { source = null; setTimeout(connect, 3000); } });
  on("heartbeat", (state) => {
    setGateway(state);
    if (fresh && String(state.changes) !== body.dataset.changes) { refresh(20); refreshDuty(); }
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
  if (body.classList.contains("page-board") || (document.hidden && playing())) return;
  if (document.hidden) { source?.close(); source = null; }
  else if (!source) { lastHeard = performance.now(); connect(); refresh(); refreshDuty(); }
});

// --- sound -----------------------------------------------------------------------------------------------------------

let audio = null;
let checks = body.dataset.duty === "null" ? null : new Map(JSON.parse(body.dataset.duty)); // duty checks nobody answered -> until_ms
let fires = new Set(JSON.parse(body.dataset.siren)); // ids of fires that nobody has acknowledged
const SOUND = "weizhan-sound"; // remembered choice of this browser: on, off
const soundButton = document.querySelector("[data-sound]");

function tone(frequency, start, length, type = "square") {
  const oscillator = audio.createOscillator();
  const gain = audio.createGain();
  oscillator.type = type;
  oscillator.frequency.value = frequency;
  gain.gain.setValueAtTime(0.0001, audio.currentTime + start);
  gain.gain.exponentialRampToValueAtTime(0.25, audio.currentTime + start + 0.02);
  gain.gain.setValueAtTime(0.25, audio.currentTime + start + length - 0.03);
  gain.gain.exponentialRampToValueAtTime(0.0001, audio.currentTime + start + length);
  oscillator.connect(gain).connect(audio.destination);
  oscillator.start(audio.currentTime + start);
  oscillator.stop(audio.currentTime + start + length);
}

const playing = () => audio && audio.state === "running";
const playFire = () => { if (playing()) for (let n = 0; n < 4; n++) tone(n % 2 ? 660 : 960, n * 0.35, 0.33); };
const playCritical = () => { if (playing()) for (let n = 0; n < 3; n++) tone(740, n * 0.3, 0.18); };
// A doorbell, three times: like neither the siren nor a fault.
const playDuty = (start) => {
  if (!playing()) return;
  for (let n = 0; n < 3; n++) { tone(1319, start + n * 0.55, 0.22, "triangle"); tone(1047, start + n * 0.55 + 0.24, 0.28, "triangle"); }
};
// A test sent by hand: two short steps up, like nothing that asks for anything.
const playTest = () => { for (let n = 0; n < 2; n++) tone(523 + n * 262, n * 0.25, 0.2, "sine"); };
const played = new Set();
const QUIET_FIRE = ["shelved", "drill"]; // only what a person decided for it silences a fire

function siren(alarm) {
  const quiet = alarm.severity === "fire" ? QUIET_FIRE.includes(alarm.hold) : Boolean(alarm.hold);
  const waits = !quiet && (alarm.state === "unacknowledged" || alarm.state === "returned_unacknowledged");
  if (alarm.severity === "fire") fires[waits ? "add" : "delete"](alarm.id);
  if (!waits || alarm.retrospective || played.has(alarm.id)) return;
  played.add(alarm.id);
  if (alarm.severity === "fire") playFire();
  if (alarm.severity === "critical") playCritical();
}

function dutyCheck({ id, state, until_ms }) {
  if (!checks) return;
  const isNew = state === "open" && !checks.has(id);
  if (state === "open" || state === "unanswered") checks.set(id, until_ms); else checks.delete(id);
  if (isNew) soundDuty();
}

function showSound() {
  if (!soundButton) return;
  soundButton.hidden = false;
  soundButton.setAttribute("aria-pressed", String(Boolean(playing())));
  put(soundButton.querySelector("[data-sound-text]"), playing() ? texts.sound_on : texts.sound_off);
}

soundButton?.addEventListener("click", async () => {
  if (playing()) {
    remember("off");
    await audio.suspend();
  } else {
    remember("on");
    await turnOn();
    tone(880, 0, 0.15); // proof that the loudspeaker works
  }
  showSound();
});

// A browser may refuse to remember anything; the sound then is a matter of this page alone.
function remember(choice) {
  try { localStorage.setItem(SOUND, choice); } catch {}
}
function remembered() {
  try { return localStorage.getItem(SOUND); } catch { return null; }
}

async function turnOn() {
  if (!audio) {
    audio = new AudioContext();
    audio.addEventListener("statechange", showSound);
  }
  await audio.resume();
}

// Chosen on an earlier page: go on at once where the browser allows it, else with the first click or key.
if (soundButton && remembered() === "on") {
  turnOn().then(showSound);
  const again = (event) => {
    if (playing() || remembered() !== "on") return;
    if (!soundButton.contains(event.target)) turnOn().then(showSound);
  };
  for (const name of ["pointerdown", "keydown"]) document.addEventListener(name, again, { capture: true });
}
// A fire that nobody acknowledged keeps sounding, also while the connection is lost: nobody has said that it is over.
// A duty check sounds until somebody answers: in the pauses of the siren, never over it; once its time is over, every
// half minute.
const MISSED_EVERY = 8;
const soundDuty = () => playDuty(fires.size ? 1.6 : 0);
let round = 0;
setInterval(() => {
  round += 1;
  if (fires.size) playFire();
  const open = checks && [...checks.values()].some((until) => until > now());
  if (open || (checks?.size && round % MISSED_EVERY === 0)) soundDuty();
}, 4000);

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

body.addEventListener("htmx:responseError", (event) => {
  const said = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html").body.textContent.trim();
  if (event.detail.requestConfig?.verb !== "get" && said) toast(said);
});
// Who asked, not who is told: the element that asked is gone once its answer stands in its place.
const isRefresh = ({ detail: { requestConfig } }) => requestConfig?.elt?.id === "live" && requestConfig.verb === "get";
body.addEventListener("htmx:beforeRequest", (event) => { if (isRefresh(event)) askedAt = performance.now(); });
body.addEventListener("htmx:afterRequest", (event) => { if (isRefresh(event)) askedAt = 0; });
// What somebody has opened or begun to write outlives a redraw that they did not ask for.
let kept = null;
body.addEventListener("htmx:beforeSwap", (event) => {
  const live = document.getElementById("live");
  if (!live || !isRefresh(event)) { kept = null; return; }
  kept = { open: [...live.querySelectorAll("details[open][id]")].map((e) => e.id), fields: new Map() };
  for (const e of live.querySelectorAll("textarea[id], input[id], select[id]")) kept.fields.set(e.id, e.value);
});
function restoreKept() {
  if (!kept) return;
  for (const id of kept.open) { const e = document.getElementById(id); if (e) e.open = true; }
  for (const [id, value] of kept.fields) { const e = document.getElementById(id); if (e && value) e.value = value; }
  kept = null;
}
body.addEventListener("htmx:afterSwap", () => {
  swappedAt = performance.now();
  restoreKept();
  const live = document.getElementById("live");
  if (live?.dataset.title) document.title = document.title.replace(/^.*? · /, `${live.dataset.title} · `);
  tick();
});
document.addEventListener("click", (event) => {
  for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of $$("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
});

connect();
showSound();
tick();
setInterval(tick, 500);
// Staleness comes by itself, without any event.
setInterval(() => { if (!lost && !document.hidden) { refresh(); refreshDuty(); } }, 30000);
