"use strict";
// Opens links to Airflow's pages in the whole window: its sandboxed frame may not navigate there
// itself, so a link of the surrounding page of the same origin does.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[target=_top]");
  if (!link || window.parent === window) return;
  event.preventDefault();
  const outer = window.parent.document.createElement("a");
  outer.href = link.href;
  outer.click();
});
