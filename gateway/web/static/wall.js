// A wall: board and plans in turn while nothing burns, never asleep, nothing to press.

const TURN_MS = 20_000;
let view = Number(document.getElementById("live").dataset.view) || 0;

setInterval(() => {
  const live = document.getElementById("live");
  // The server shows board and plan of a fire whatever is asked for; a turn then would only lose time.
  if (!live || live.dataset.fires !== "0" || document.body.matches(".lost, .away")) return;
  view += 1;
  window.htmx.ajax("GET", `/wall?view=${view}`, { source: live, target: live, swap: "outerHTML" });
}, TURN_MS);

// Browsers give this only where the connection is secure; a kiosk without it switches the saver off by its settings.
async function stayAwake() {
  try { await navigator.wakeLock?.request("screen"); } catch {}
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) stayAwake(); });
stayAwake();
