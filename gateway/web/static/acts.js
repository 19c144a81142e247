// Small things of forms: the scope of a site, one send for two clicks.

document.addEventListener("change", (event) => {
  const site = event.target.closest("[data-site]");
  if (site) showSite(site);
});

function showSite(select) {
  for (const row of document.querySelectorAll("[data-of]")) {
    row.hidden = row.dataset.of !== select.value;
    if (row.hidden) row.querySelector("input").checked = false;
  }
}

for (const select of document.querySelectorAll("[data-site]")) showSite(select);

// A form on its way is not sent again by a second click; the server sees to whatever still comes twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || form.hasAttribute("hx-post") || event.defaultPrevented) return;
  if (form.hasAttribute("aria-busy")) return event.preventDefault();
  form.setAttribute("aria-busy", "true");
  setTimeout(() => form.removeAttribute("aria-busy"), 10_000); // one that gave a file leaves its page standing
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[aria-busy]")) form.removeAttribute("aria-busy");
});

// What was refused is still in the form: the browser keeps it.
document.addEventListener("click", (event) => { if (event.target.closest("[data-back]")) history.back(); });

// On a phone the bars scroll: where one is must be seen.
for (const one of document.querySelectorAll(".nav [aria-current], .section-nav [aria-current]")) {
  one.scrollIntoView({ inline: "center", block: "nearest" });
}
