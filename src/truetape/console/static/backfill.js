"use strict";
// Starts the backfill's DAG through Airflow's own API, as whoever is signed in, and shows what becomes of it.
const AGAIN_MS = 2000;
const WORDS = {
  asked: "Offsets asked for", in_kafka: "In Kafka", archived: "In the lake already", to_ingest: "To ingest",
  lost: "Lost to retention", awaited: "The archive's next", unwritten: "Never written",
  missing_offsets: "Missing offsets", lost_offsets: "Lost offsets", events: "Events in them",
  sessions: "Sessions touched", digest: "Plan",
};

const form = document.getElementById("ask");
const state = document.getElementById("state");
const root = `${form.dataset.api}/dags/${form.dataset.dag}/dagRuns`;

async function ask(path, options = {}) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  const answer = await fetch(root + path, { headers, credentials: "same-origin", ...options });
  const told = await answer.json();
  if (answer.ok) return told;
  const why = typeof told.detail === "string" ? told.detail : JSON.stringify(told.detail);
  throw new Error(answer.status === 403 ? "Your role may not start runs." : why);
}

function conf(fields, isDry) {
  const asked = { by: fields.get("by"), reason: fields.get("reason"), dry_run: isDry };
  for (const name of ["from", "to", "offsets"]) {
    if (fields.get(name)) asked[name] = fields.get(name);
  }
  const symbols = fields.get("symbols").split(/[\s,]+/).filter(Boolean);
  return symbols.length ? { ...asked, symbols } : asked;
}

function show(plan) {
  const entries = Object.entries(plan).map(([name, value]) => {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = WORDS[name] ?? name;
    text.textContent = Array.isArray(value) ? value.join(", ") || "none" : String(value || "none");
    return [term, text];
  });
  document.getElementById("plan").replaceChildren(...entries.flat());
}

async function follow(run) {
  const id = encodeURIComponent(run);
  let isShown = false;
  for (;;) {
    const [now, tasks] = await Promise.all([ask(`/${id}`), ask(`/${id}/taskInstances`)]);
    const told = tasks.task_instances.filter((one) => one.state).map((one) => `${one.task_id} ${one.state}`);
    state.textContent = `${run}: ${now.state}${told.length ? ` (${told.join(", ")})` : ""}`;
    if (!isShown && tasks.task_instances.some((one) => one.task_id === "plan" && one.state === "success")) {
      show((await ask(`/${id}/taskInstances/plan/xcomEntries/return_value`)).value);
      isShown = true;
    }
    if (["success", "failed"].includes(now.state)) return;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  document.getElementById("run").hidden = false;
  document.getElementById("plan").replaceChildren();
  state.removeAttribute("class");
  state.textContent = "Starting…";
  try {
    const isDry = event.submitter?.value !== "no";
    const body = JSON.stringify({ logical_date: null, conf: conf(new FormData(form), isDry) });
    await follow((await ask("", { method: "POST", body })).dag_run_id);
  } catch (error) {
    state.textContent = error.message;
    state.className = "grave";
  }
});
