// A wall: board and plans in turn while nothing burns, never asleep, nothing to press.

const first = document.getElementById("live");
const turn_s = Number(first.dataset.turn);
let view = Number(first.dataset.view) || 0;

setInterval(() => {
  const live = document.getElementById("live");
  // The server shows board and plan of a fire whatever is asked for; a turn then would only lose time.
  if (!live || live.dataset.fires !== "0" || document.body.matches(".lost, .away")) return;
  view += 1;
  window.htmx.ajax("GET", `/wall?view=${view}&turn_s=${turn_s}`, { source: live, target: live, swap: "outerHTML" });
}, turn_s * 1000);

// Browsers give this only where the connection is secure; a kiosk without it switches the saver off by its settings.
async function stayAwake() {
  try { await navigator.wakeLock?.request("screen"); } catch {}
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) stayAwake(); });
stayAwake();
