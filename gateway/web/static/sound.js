// Sound: fire, fault and duty check each have their own, and each goes on until somebody acknowledged or answered.
// Browsers make none before somebody clicked: that is told loudly, tested at the start of a shift, and written down.

const body = document.body;
let texts = {};
let now = () => Date.now();
let toast = () => {};
let audio = null;
let checks = body.dataset.duty === "null" ? null : new Map(JSON.parse(body.dataset.duty)); // duty checks nobody answered -> until_ms
let faults = JSON.parse(body.dataset.faults ?? "[0,0]"); // critical alarms and warnings that nobody has acknowledged
export const fires = new Set(JSON.parse(body.dataset.siren)); // ids of fires that nobody has acknowledged
const SOUND = "weizhan-sound"; // remembered choice of this browser: on, off
const ROUND_MS = 4000;
const CRITICAL_EVERY = 2; // rounds
const WARNING_EVERY = 15;
const MISSED_EVERY = 8;
const PLAYED = 500;
const isWall = body.classList.contains("page-wall");
const soundButton = document.querySelector("[data-sound]");

function tone(frequency, start, length, type = "square", volume = 0.25) {
  const oscillator = audio.createOscillator();
  const gain = audio.createGain();
  oscillator.type = type;
  oscillator.frequency.value = frequency;
  gain.gain.setValueAtTime(0.0001, audio.currentTime + start);
  gain.gain.exponentialRampToValueAtTime(volume, audio.currentTime + start + 0.02);
  gain.gain.setValueAtTime(volume, audio.currentTime + start + length - 0.03);
  gain.gain.exponentialRampToValueAtTime(0.0001, audio.currentTime + start + length);
  oscillator.connect(gain).connect(audio.destination);
  oscillator.start(audio.currentTime + start);
  oscillator.stop(audio.currentTime + start + length);
}

export const playing = () => Boolean(audio && audio.state === "running");
const playFire = (start = 0) => { if (playing()) for (let n = 0; n < 4; n++) tone(n % 2 ? 660 : 960, start + n * 0.35, 0.33); };
const playCritical = (start = 0) => { if (playing()) for (let n = 0; n < 3; n++) tone(740, start + n * 0.3, 0.18); };
// Two low notes that fall: a fault can wait a little, a fire cannot.
const playWarning = (start = 0) => { if (playing()) { tone(494, start, 0.3, "triangle", 0.2); tone(370, start + 0.34, 0.42, "triangle", 0.2); } };
// A doorbell, three times: like neither the siren nor a fault.
const playDuty = (start) => {
  if (!playing()) return;
  for (let n = 0; n < 3; n++) { tone(1319, start + n * 0.55, 0.22, "triangle"); tone(1047, start + n * 0.55 + 0.24, 0.28, "triangle"); }
};
// A test sent by hand: two short steps up, like nothing that asks for anything.
export const playTest = () => { for (let n = 0; n < 2; n++) tone(523 + n * 262, n * 0.25, 0.2, "sine"); };
const soundDuty = () => playDuty(fires.size ? 1.6 : 0);
const played = new Set();
const QUIET_FIRE = ["shelved", "drill"]; // only what a person decided for it silences a fire

export function siren(alarm) {
  const quiet = alarm.severity === "fire" ? QUIET_FIRE.includes(alarm.hold) : Boolean(alarm.hold);
  const waits = !quiet && (alarm.state === "unacknowledged" || alarm.state === "returned_unacknowledged");
  if (alarm.severity === "fire") {
    const before = fires.size;
    fires[waits ? "add" : "delete"](alarm.id);
    if (fires.size > before) body.dispatchEvent(new CustomEvent("weizhan:fire"));
  }
  if (!waits) { played.delete(alarm.id); return; }
  if (alarm.retrospective || played.has(alarm.id)) return;
  if (played.size >= PLAYED) played.clear(); // a page stays open for months
  played.add(alarm.id);
  if (alarm.severity === "fire") playFire();
  else if (alarm.severity === "critical") { if (!fires.size) playCritical(); faults[0] += 1; }
  else if (alarm.severity === "warning") { if (!fires.size) playWarning(); faults[1] += 1; }
}

export function dutyCheck({ id, state, until_ms }) {
  if (!checks) return;
  const isNew = state === "open" && !checks.has(id);
  if (state === "open" || state === "unanswered") checks.set(id, until_ms); else checks.delete(id);
  if (isNew) soundDuty();
}

export function setWaiting(burning, asked) {
  fires.clear();
  for (const id of burning) fires.add(id);
  if (checks) checks = new Map(asked);
}

export function setFaults(counts) { faults = counts ?? [0, 0]; }

// What asks for somebody now: fire, duty, lost, fault, or nothing ("").
export function attention(isLost) {
  if (fires.size) return "fire";
  if (checks && [...checks.values()].some((until) => until > now())) return "duty";
  return isLost ? "lost" : faults[0] ? "fault" : "";
}

// A fire that nobody acknowledged keeps sounding, also while the connection is lost: nobody has said that it is over.
// A duty check sounds until somebody answers: in the pauses of the siren, never over it; once its time is over, every
// half minute. Faults wait for their turn behind both.
let round = 0;
function sound() {
  round += 1;
  if (fires.size) playFire();
  else if (faults[0] && round % CRITICAL_EVERY === 0) playCritical();
  else if (faults[1] && round % WARNING_EVERY === 0) playWarning();
  const open = checks && [...checks.values()].some((until) => until > now());
  if (open || (checks?.size && round % MISSED_EVERY === 0)) soundDuty();
}

// --- unlocked or not ---------------------------------------------------------------------------------------------------

function showSound() {
  const on = playing();
  const bar = document.querySelector("[data-sound-bar]");
  if (bar) bar.hidden = on;
  const wall = document.querySelector("[data-wall-sound]");
  if (wall) wall.hidden = on;
  body.classList.toggle("is-mute", !on);
  if (!soundButton) return;
  soundButton.hidden = false;
  soundButton.setAttribute("aria-pressed", String(on));
  const text = soundButton.querySelector("[data-sound-text]");
  const said = on ? texts.sound_on : texts.sound_off;
  if (text.textContent !== said) text.textContent = said;
}

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

// --- the test: what was heard is written down --------------------------------------------------------------------------

const asked = document.querySelector("[data-sound-asked]");
document.addEventListener("click", async (event) => {
  if (event.target.closest("[data-sound-test]")) {
    remember("on");
    await turnOn();
    playFire(0);
    playWarning(1.8);
    playDuty(3.1);
    showSound();
    if (asked) { asked.hidden = false; asked.querySelector("[data-sound-said]").focus(); }
  }
  const said = event.target.closest("[data-sound-said]");
  if (said) writeDown(said.dataset.soundSaid === "true");
});

async function writeDown(heard) {
  const { "X-CSRF-Token": csrf } = JSON.parse(body.getAttribute("hx-headers"));
  const site = document.querySelector("[data-sound-site]")?.dataset.soundSite ?? "";
  const fields = { heard: String(heard), site, screen: `${screen.width} x ${screen.height}` };
  const answer = await fetch("/sound-check", { method: "POST", headers: { "X-CSRF-Token": csrf }, body: new URLSearchParams(fields) }).catch(() => null);
  if (!answer?.ok) { toast(texts.not_saved); return; }
  asked.hidden = true;
  toast(heard ? texts.heard : texts.not_heard);
  if (heard && document.querySelector(".sound-panel.is-asked")) location.assign(`/shift?site=${encodeURIComponent(site)}`);
}

export function startSound(given) {
  ({ texts, now, toast } = given);
  // Chosen on an earlier page: go on at once where the browser allows it, else with the first click or key. A wall has
  // nobody who clicks: it tries by itself.
  if (isWall || (soundButton && remembered() === "on")) {
    turnOn().then(showSound);
    const again = (event) => {
      if (playing() || (!isWall && remembered() !== "on")) return;
      if (!soundButton?.contains(event.target)) turnOn().then(showSound);
    };
    for (const name of ["pointerdown", "keydown"]) document.addEventListener(name, again, { capture: true });
  }
  showSound();
  setInterval(sound, ROUND_MS);
}
