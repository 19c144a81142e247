// What somebody has opened, begun to write, or reached by keyboard outlives a redraw that they did not ask for.

// By name: the form may have been redrawn while its answer was on the way.
const part = (e) => e.closest("details[id]")?.id;

// live: the part that is redrawn. sent: the form it is the answer to, null when nobody asked. Gives how to put it back.
export function keep(live, sent) {
  const unsent = (e) => !sent || !(sent.contains(e) || (part(sent) && part(e) === part(sent)));
  const open = [...live.querySelectorAll("details[open][id]")].filter(unsent).map((e) => e.id);
  const fields = [...live.querySelectorAll("textarea[id], input[id], select[id]")].filter(unsent).map((e) => [e.id, e.value]);
  const chosen = [...live.querySelectorAll("details[open][id] input[type=radio]:checked")].filter(unsent).map(
    (e) => `#${e.closest("details[id]").id} input[name="${CSS.escape(e.name)}"][value="${CSS.escape(e.value)}"]`,
  );
  const isLost = document.activeElement === document.body && performance.now() - sentAt < ANSWER_MS;
  const focus = isLost ? sentFrom : pathOfFocus(live, document.activeElement);
  const wasSeen = !isLost && isSeen(document.activeElement);
  return () => {
    for (const id of open) { const e = document.getElementById(id); if (e) e.open = true; }
    for (const [id, value] of fields) { const e = document.getElementById(id); if (e && value) e.value = value; }
    for (const path of chosen) { const e = document.querySelector(path); if (e) e.checked = true; }
    giveFocus(focus, wasSeen);
  };
}

// --- the focus: the same button of the same alarm, by what it does and not by what it says --------------------------------

const CAN = "a[href], button, input, select, textarea, summary, [tabindex]";
const SAYS = ["id", "name", "type", "href", "formaction", "role", "data-alarm", "data-acts", "data-mark", "data-unplaced"];
const doing = (form) => form?.getAttribute("hx-post") ?? form?.getAttribute("action") ?? "";
function nameOf(e) {
  const value = e.matches("button, [type=radio], [type=checkbox]") ? e.value : "";
  const own = SAYS.map((name) => e.getAttribute(name) ?? "");
  // Something without any name of its own is told by what it says.
  const text = own.some((each) => each) || e.form || e.matches("[tabindex]") ? "" : e.textContent.trim();
  return JSON.stringify([e.tagName, value, ...own, text, doing(e.form), e.parentElement.closest("[id]")?.id ?? ""]);
}
const named = (root, name) => [...root.querySelectorAll(CAN)].filter((e) => nameOf(e) === name);

// A button that was pressed is disabled while its answer is on the way, and has no focus then: where it was is remembered.
const ANSWER_MS = 10_000;
let sentFrom = [];
let sentAt = -ANSWER_MS;
document.body.addEventListener("htmx:beforeRequest", ({ detail }) => {
  const live = document.getElementById("live");
  if (detail.requestConfig?.verb === "get" || !live?.contains(document.activeElement)) return;
  sentFrom = pathOfFocus(live, document.activeElement);
  sentAt = performance.now();
});
document.addEventListener("focusin", () => { sentAt = -ANSWER_MS; }); // it is somewhere again

// When somebody moved the focus last.
const REACHED_MS = 1000;
let focusedAt = 0;
document.addEventListener("focusin", () => { focusedAt = performance.now(); });

// What has the focus (active), and what it stands in, in case it is gone: [[name, which of that name], ...]; empty without a focus.
function pathOfFocus(live, active) {
  const path = [];
  for (let e = active; e && e !== live && live.contains(e); e = e.parentElement) {
    if (!e.matches(CAN)) continue;
    const name = nameOf(e);
    path.push([name, named(live, name).indexOf(e)]);
  }
  return path;
}
function isSeen(e) {
  const box = e?.getBoundingClientRect();
  return Boolean(box) && box.bottom > 0 && box.top < innerHeight;
}
// wasSeen: whoever looked elsewhere meanwhile is not pulled back to it.
function giveFocus(path, wasSeen) {
  if (document.activeElement && document.activeElement !== document.body) return;
  const live = document.getElementById("live");
  for (const [name, which] of live ? path : []) {
    const found = named(live, name);
    const e = found[which] ?? found[0];
    if (!e || e.disabled) continue;
    const at = focusedAt;
    e.focus({ preventScroll: true });
    focusedAt = at;
    // Not under what has come above it; and what had just been reached the browser was still on its way to show.
    if (wasSeen || performance.now() - at < REACHED_MS) e.scrollIntoView({ block: "nearest", inline: "nearest" });
    return;
  }
}
