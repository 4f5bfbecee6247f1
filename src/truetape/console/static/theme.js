"use strict";
// Follows the theme that is chosen in Airflow: of the page around this one, else the stored one.
// Loaded before the page is drawn, so that no page flashes in the other theme.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const page = document.documentElement;

  function around() {
    try {
      return window.parent === window ? null : window.parent.document;
    } catch {
      return null; // a page of another origin
    }
  }

  function theme() {
    const classes = around()?.documentElement.classList;
    if (classes?.contains("dark")) return "dark";
    if (classes?.contains("light")) return "light";
    const chosen = localStorage.getItem("theme"); // where Airflow keeps the choice, or "system"
    if (chosen === "dark" || chosen === "light") return chosen;
    return system.matches ? "dark" : "light";
  }

  function follow() {
    if (page.dataset.theme === theme()) return;
    page.dataset.theme = theme();
    document.dispatchEvent(new Event("themechange"));
  }

  follow();
  system.addEventListener("change", follow);
  addEventListener("storage", follow);
  if (around()) {
    const classes = { attributes: true, attributeFilter: ["class"] };
    new MutationObserver(follow).observe(around().documentElement, classes);
  }
})();
