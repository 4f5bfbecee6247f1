"use strict";
// Looks again on request, and by itself while the page is in view; what has the focus stays as it is.
const AGAIN_MS = 15000;

async function look() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("main").replaceChildren(...page.getElementById("main").childNodes);
  } catch (error) {
    const state = document.getElementById("state");
    if (state) state.textContent = `Could not look again: ${error.message}. This page is old.`;
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
