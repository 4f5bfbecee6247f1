"use strict";
// Refreshes the page on request, and by itself while it is in view; never under the reader's focus.
const AGAIN_MS = 15000;

async function look() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("main").replaceChildren(...page.getElementById("main").childNodes);
  } catch (error) {
    const state = document.getElementById("state");
    if (state) state.textContent = `Could not refresh: ${error.message}. This page is old.`;
  }
}

document.addEventListener("click", async (event) => {
  if (event.target.id !== "refresh") return;
  await look();
  document.getElementById("refresh")?.focus();
});
setInterval(() => {
  const isRead = document.getElementById("main").contains(document.activeElement);
  if (document.visibilityState === "visible" && !isRead) look();
}, AGAIN_MS);
