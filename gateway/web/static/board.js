// The board and the list of alarms by keyboard, and what is done with an alarm without leaving them.

const dialog = document.querySelector("[data-acts-dialog]");
const acts = document.getElementById("acts");
const FIELD = { a: "#acts-acknowledge", g: "#acts-person", n: "#acts-note", s: "#acts-reason" };

async function open(id, focus = "") {
  const answer = await fetch(`/alarms/${id}/acts`, { headers: { "HX-Request": "true", "HX-Current-URL": location.href } }).catch(() => null);
  if (!answer?.ok) { location.assign(`/alarms/${id}`); return; }
  acts.innerHTML = await answer.text();
  window.htmx.process(acts);
  dialog.querySelector("[data-dialog-fire]").hidden = true;
  acts.dispatchEvent(new CustomEvent("weizhan:shown", { bubbles: true }));
  if (!dialog.open) dialog.showModal();
  (dialog.querySelector(focus || FIELD.a) ?? dialog.querySelector("button, input, select"))?.focus();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-acts]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  open(link.dataset.acts);
});

// What was given from the dialog is done: the board behind it shows it. What was refused is told where it was given.
document.body.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (!dialog.contains(detail.requestConfig?.elt) || detail.target?.id === "acts") return;
  const said = dialog.querySelector("[data-acts-said]");
  if (detail.successful) { dialog.close(); return; }
  if (!said) return;
  const text = new DOMParser().parseFromString(detail.xhr?.responseText ?? "", "text/html").body.textContent.trim();
  said.textContent = text || document.querySelector("[data-banner-text]").textContent;
  said.hidden = false;
});
dialog.addEventListener("close", () => { acts.replaceChildren(); });
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
document.body.addEventListener("weizhan:fire", () => {
  if (dialog.open) dialog.querySelector("[data-dialog-fire]").hidden = false;
});

// --- keys: letters count only while the focus is on an alarm, so that they are nobody's accident ------------------------

const rows = () => [...document.querySelectorAll("#live [data-alarm][tabindex]")];
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  if (event.key === "F2") {
    event.preventDefault();
    (rows().find((row) => row.classList.contains("is-waiting")) ?? rows()[0])?.focus();
    return;
  }
  const row = document.activeElement?.closest("[data-alarm][tabindex]");
  if (!row || event.target.matches("input:not([type=checkbox]), textarea, select")) return;
  const all = rows();
  const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
  if (step) { event.preventDefault(); all[all.indexOf(row) + step]?.focus(); return; }
  const key = event.key.toLowerCase();
  if (key === "a") { row.querySelector("button.acknowledge")?.click(); event.preventDefault(); }
  else if ((key === "o" || (event.key === "Enter" && document.activeElement === row) || key in FIELD) && row.querySelector("[data-acts]")) { event.preventDefault(); open(row.dataset.alarm, FIELD[key]); }
});
