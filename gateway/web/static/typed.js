// What somebody wrote outlives a refusal, and a session that ended meanwhile with the sign-in that follows: it is kept in
// this tab alone, for the same person and an hour, and stands in the same form again. It is not sent by itself.

const KEY = "weizhan-typed";
const KEEP_MS = 3_600_000;
const WRITTEN = "textarea, select, input:not([type=password], [type=hidden], [type=file], [type=submit], [type=button])";
const who = document.body.dataset.person ?? "";
const where = () => location.pathname + location.search;

function load() {
  try { return JSON.parse(sessionStorage.getItem(KEY)); } catch { return null; }
}
function save(typed) {
  try {
    if (typed) sessionStorage.setItem(KEY, JSON.stringify(typed));
    else sessionStorage.removeItem(KEY);
  } catch {} // a browser may refuse to remember anything
}

const written = (form) => [...form.elements].filter((one) => one.name && one.matches(WRITTEN));
const place = (one) => [one.name, one.matches("[type=checkbox], [type=radio]") ? one.value : ""];

function isChanged(one) {
  if (one.matches("[type=checkbox], [type=radio]")) return one.checked !== one.defaultChecked;
  if (!one.matches("select")) return one.value !== one.defaultValue;
  return one.value !== ([...one.options].find((each) => each.defaultSelected) ?? one.options[0])?.value;
}
const address = (form) => form.getAttribute("hx-post") ?? form.getAttribute("action") ?? "";
// These two lie between a form and the form again.
const between = document.querySelector("[data-back], form[action='/sign-in']");

document.addEventListener("submit", ({ target: form }) => {
  if (between || !(form.hasAttribute("hx-post") || form.method === "post") || !written(form).some(isChanged)) return;
  const action = address(form);
  const fields = written(form).map((one) => [...place(one), one.value, Boolean(one.checked)]);
  save({ who, path: where(), action, at: Date.now(), fields, refused: false });
}, { capture: true });

function put(one, value, checked) {
  if (one.matches("[type=checkbox], [type=radio]")) one.checked = checked;
  else one.value = value;
  one.dispatchEvent(new Event("change", { bubbles: true }));
}

// Back into its form, where that stands in this part of the page. Gives whether it did.
function restore(root) {
  const typed = load();
  if (!typed?.refused || typed.who !== who || typed.path !== where()) return false;
  const form = [...root.querySelectorAll("form")].find((one) => address(one) === typed.action);
  if (!form) return false;
  save(null);
  for (let box = form; box; box = box.parentElement) if (box.tagName === "DETAILS") box.open = true;
  const left = written(form);
  for (const [name, of, value, checked] of typed.fields) {
    const at = left.findIndex((one) => { const [n, v] = place(one); return n === name && v === of; });
    if (at >= 0) put(left.splice(at, 1)[0], value, checked);
  }
  const said = document.createElement("p");
  said.className = "said said-typed";
  said.setAttribute("role", "status");
  said.textContent = document.body.dataset.typedBack ?? "";
  form.before(said);
  return true;
}

// Any page but a refusal and the sign-in means that it was taken.
const typed = load();
if (typed && (Date.now() - typed.at > KEEP_MS || (who && typed.who !== who))) save(null);
else if (between && typed) {
  save({ ...typed, refused: true });
  for (const one of document.querySelectorAll("[data-typed-kept]")) one.hidden = false;
} else if (typed && !typed.refused) save(null);
else restore(document);

document.body.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.successful && detail.requestConfig?.verb === "post") save(null);
});
document.body.addEventListener("weizhan:shown", ({ target }) => restore(target));
// A page taken out of the browser's memory has the mark of a session that may be over: load it, and put back what was written.
addEventListener("pageshow", (event) => { if (event.persisted && load()?.refused) location.reload(); });
