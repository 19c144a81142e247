// The map: devices are put on a plan by mouse, finger or keyboard; every move is saved through the gateway.

const SPAN = 10_000; // as gateway/board/rows.py
const BYTES = 8 * 1024 * 1024;
const body = document.body;
const texts = JSON.parse(body.dataset.texts);
const { "X-CSRF-Token": csrf } = JSON.parse(body.getAttribute("hx-headers"));
const view = () => document.querySelector("[data-edit]");

function say(text) {
  const place = document.querySelector("[data-edit-said]");
  if (place) place.textContent = text;
}

async function send(what, fields) {
  const answer = await fetch(`/map/plans/${view().dataset.edit}/${what}`, {
    method: "POST", headers: { "X-CSRF-Token": csrf, "HX-Request": "true" }, body: new URLSearchParams(fields),
  }).catch(() => null);
  if (answer?.ok) { say(view().dataset.saved); return; }
  const told = answer ? new DOMParser().parseFromString(await answer.text(), "text/html").body.textContent.trim() : "";
  say(told || texts.not_saved);
  window.htmx.trigger(document.getElementById("live"), "refresh"); // what was not saved does not stay there
}

// --- where something is -------------------------------------------------------------------------------------------------

const plan = () => view().querySelector("svg.floorplan");
const clamp = (n, most) => Math.min(most, Math.max(0, n));

function pointOf(event) {
  const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(plan().getScreenCTM().inverse());
  const box = plan().viewBox.baseVal;
  return { x: clamp(x, box.width), y: clamp(y, box.height), inside: x >= 0 && y >= 0 && x <= box.width && y <= box.height };
}
function placeOf(mark) {
  const { e, f } = mark.transform.baseVal.consolidate().matrix;
  return { x: e, y: f };
}
function move(mark, x, y) { mark.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`); }
function save(mark) {
  const box = plan().viewBox.baseVal;
  const { x, y } = placeOf(mark);
  return send("place", { at: mark.dataset.mark, x: Math.round((x / box.width) * SPAN), y: Math.round((y / box.height) * SPAN) });
}

// --- by mouse and finger -------------------------------------------------------------------------------------------------

let dropped = 0; // when something was dropped: the click that follows is part of it
let held = null; // { mark, button, id, ghost, moved }
document.addEventListener("pointerdown", (event) => {
  if (!view() || event.button) return;
  const mark = event.target.closest("[data-edit] [data-mark]");
  const button = event.target.closest("[data-unplaced]");
  if (!mark && !button) return;
  const taken = mark ?? button;
  taken.setPointerCapture?.(event.pointerId);
  held = { mark, button, id: event.pointerId, ghost: null, moved: false, from: [event.clientX, event.clientY] };
  body.classList.add("is-dragging");
});
document.addEventListener("pointermove", (event) => {
  if (!held || event.pointerId !== held.id) return;
  if (Math.hypot(event.clientX - held.from[0], event.clientY - held.from[1]) > 4) held.moved = true;
  if (!held.moved) return;
  event.preventDefault();
  const at = pointOf(event);
  if (held.mark) move(held.mark, at.x, at.y);
  else {
    held.ghost ??= ghost();
    held.ghost.toggleAttribute("hidden", !at.inside);
    move(held.ghost, at.x, at.y);
  }
});
function ghost() {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  made.setAttribute("class", "ghost");
  made.setAttribute("r", plan().dataset.unit);
  plan().append(made);
  return made;
}
async function drop(event, isOver) {
  if (!held || event.pointerId !== held.id) return;
  const { mark, button, moved } = held;
  held.ghost?.remove();
  held = null;
  body.classList.remove("is-dragging");
  if (!moved) return;
  dropped = performance.now();
  if (isOver) { window.htmx.trigger(document.getElementById("live"), "refresh"); return; }
  const at = pointOf(event);
  if (mark) await save(mark);
  else if (at.inside) await put(button.dataset.unplaced, at.x, at.y);
}
// A finger on a mark moves the mark; touch-action does not reach into a drawing.
document.addEventListener("touchmove", (event) => { if (held?.mark) event.preventDefault(); }, { passive: false });
document.addEventListener("pointerup", (event) => drop(event, false));
document.addEventListener("pointercancel", (event) => drop(event, true));

function put(at, x, y) {
  const box = plan().viewBox.baseVal;
  return send("place", { at, x: Math.round((x / box.width) * SPAN), y: Math.round((y / box.height) * SPAN) });
}

// --- by keyboard ---------------------------------------------------------------------------------------------------------

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
let saving = 0;
document.addEventListener("keydown", (event) => {
  const mark = view() && event.target.closest?.("[data-edit] [data-mark]");
  if (!mark) return;
  const step = STEPS[event.key];
  if (step) {
    event.preventDefault();
    const box = plan().viewBox.baseVal;
    const far = (event.shiftKey ? 0.05 : 0.01) * Math.max(box.width, box.height);
    const { x, y } = placeOf(mark);
    move(mark, clamp(x + step[0] * far, box.width), clamp(y + step[1] * far, box.height));
    // Saved once the keys are still: a redraw in between would take the mark from under them.
    body.classList.add("is-dragging");
    clearTimeout(saving);
    saving = setTimeout(() => { body.classList.remove("is-dragging"); save(mark); }, 500);
  }
  if (event.key === "Delete" || event.key === "Backspace") { event.preventDefault(); send("unplace", { at: mark.dataset.mark }); }
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-unplaced]");
  // A click of the keyboard (detail 0) or a tap without a drag: the middle is a place to begin from.
  if (button && view() && performance.now() - dropped > 300) { const box = plan().viewBox.baseVal; put(button.dataset.unplaced, box.width / 2, box.height / 2); }
});

// --- forms -----------------------------------------------------------------------------------------------------------------

for (const select of document.querySelectorAll("[data-go]")) select.addEventListener("change", () => select.form.submit());
// What the server would refuse after minutes of sending is refused before.
for (const form of document.querySelectorAll("[data-upload]")) {
  form.addEventListener("submit", (event) => {
    const file = form.querySelector("input[type=file]").files[0];
    const said = form.querySelector("[data-upload-said]");
    const why = !file ? "" : /svg/i.test(file.type) || /\.svg$/i.test(file.name) ? texts.plan_svg : file.size > BYTES ? texts.plan_large : "";
    said.textContent = why;
    said.hidden = !why;
    if (why) event.preventDefault();
    else for (const button of form.querySelectorAll("button")) setTimeout(() => { button.disabled = true; });
  });
}
