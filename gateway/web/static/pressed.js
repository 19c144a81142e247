// While something is pressed nothing is redrawn under the finger. A click counts only where press and release hit the same
// element: one that was replaced or moved in between swallowed the tap, or gave it to its neighbour.

const MOST_MS = 1500; // a pointer that never comes up, or one that taps without end, does not keep a fire from the board
const CLICK_MS = { mouse: 60, touch: 350, pen: 350, key: 60 }; // how long after its release the click may come
const presses = new Map(); // pointer -> when it went down
let heldSince = 0; // when the oldest redraw that waits was asked for, 0 without one
let sending = 0; // when what was clicked was sent, 0 once it is answered
const late = []; // answers that wait for the release

const isOver = () => heldSince && performance.now() - heldSince > MOST_MS;
const isYoung = (at) => at && performance.now() - at < MOST_MS;
export const isPressed = () => !isOver() && [...presses.values()].some(isYoung);
export const isHeld = () => isPressed() || (!isOver() && isYoung(sending));
// Asks like `isHeld`, for a redraw that will be asked for again until it is done: together they wait MOST_MS at most.
export function mustWait() {
  const held = isHeld();
  if (held) heldSince ||= performance.now();
  return held;
}
export function drawn() { heldSince = 0; }
// Does it once nothing is held.
export function later(act) {
  heldSince ||= performance.now();
  if (!late.includes(act)) late.push(act);
  wait();
}
let waiting = 0;
function wait() {
  clearTimeout(waiting);
  if (isHeld()) { waiting = setTimeout(wait, 30); return; }
  for (const act of late.splice(0)) act();
}

function press(pointer) { presses.set(pointer, performance.now()); }
function release(pointer, kind) {
  const at = presses.get(pointer);
  if (at) setTimeout(() => { if (presses.get(pointer) === at) presses.delete(pointer); }, CLICK_MS[kind] ?? CLICK_MS.touch);
}
const early = { capture: true, passive: true };
document.addEventListener("pointerdown", (event) => press(event.pointerId), early);
document.addEventListener("pointerup", (event) => release(event.pointerId, event.pointerType), early);
document.addEventListener("pointercancel", (event) => presses.delete(event.pointerId), early); // it became a scroll
addEventListener("blur", () => presses.clear());
// The space bar presses as well: its click comes when the key is released.
document.addEventListener("keydown", (event) => { if (event.key === " " && !event.repeat) press("key"); }, early);
document.addEventListener("keyup", (event) => { if (event.key === " ") release("key", "key"); }, early);
// What the click does is done after every listener heard it.
document.addEventListener("click", () => setTimeout(() => presses.clear()), early);

// What was sent is answered first: the answer knows what became of it, and the form it came from is still there.
document.body.addEventListener("htmx:beforeRequest", ({ detail }) => {
  if (detail.requestConfig?.verb !== "get") sending = performance.now();
});
document.body.addEventListener("htmx:afterRequest", ({ detail }) => { if (detail.requestConfig?.verb !== "get") sending = 0; });
