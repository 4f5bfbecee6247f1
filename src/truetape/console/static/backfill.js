"use strict";
// Starts the backfill's DAG through Airflow's own API, as whoever is signed in, and says what became of it.
const AGAIN_MS = 2000;
const TERMS = {
  asked: "Offsets requested", in_kafka: "Of these in Kafka", archived: "In the lake", to_ingest: "Missing, can be restored",
  lost: "Lost for good", awaited: "Not archived yet", unwritten: "Not assigned by Kafka yet",
  missing_offsets: "Missing offsets", lost_offsets: "Lost offsets", events: "Trades and amendments in them",
  sessions: "Affected sessions",
};
const TASKS = {
  check_form: "checking the form", plan: "planning", choose_next_task: "planning", approve: "waiting for an approval in Airflow",
  ingest: "fetching the missing records", finalize: "recomputing and publishing the affected sessions",
};
const OVER = ["success", "failed"];

const form = document.getElementById("ask");
const run = document.getElementById("run");
const state = document.getElementById("state");
const runs = `${run.dataset.api}/dags/${run.dataset.dag}/dagRuns`;

async function ask(path, options = {}) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  const answer = await fetch(runs + path, { headers, credentials: "same-origin", ...options });
  const body = await answer.json();
  if (answer.ok) return body;
  if (answer.status === 403) throw new Error("Your role may not start runs.");
  if (answer.status === 401) throw new Error("Please sign in again, then repeat this.");
  throw new Error(typeof body.detail === "string" ? body.detail : JSON.stringify(body.detail));
}

async function returned(id, task) {
  try {
    return (await ask(`/${id}/taskInstances/${task}/xcomEntries/return_value`)).value;
  } catch {
    return null; // the task was skipped, or has not ended
  }
}

function counted(number, noun) {
  return `${number.toLocaleString("en-US")} ${noun}${number === 1 ? "" : "s"}`;
}

function missing(plan) {
  const lost = plan.lost ? ` Lost for good: ${counted(plan.lost, "record")}.` : "";
  if (!plan.to_ingest) return `Nothing is missing${plan.lost ? " that Kafka still has" : ""}.${lost}`;
  const sessions = plan.sessions.length ? ` They affect ${plan.sessions.join(", ")}.` : "";
  return `${counted(plan.to_ingest, "record")} can be restored.${sessions}${lost}`;
}

function sentence(now, plan, ingested, finalized, tasks) {
  if (!OVER.includes(now.state)) {
    const open = tasks.find((task) => task.state && !["success", "skipped", "removed"].includes(task.state));
    return `The run is ${TASKS[open?.task_id] ?? (now.state === "queued" ? "waiting to start" : "running")}…`;
  }
  if (now.state === "failed") {
    const failed = tasks.filter((task) => task.state === "failed").map((task) => task.task_id);
    return `The run failed${failed.length ? ` in ${failed.join(", ")}` : ""}. Its log in Airflow says why.`;
  }
  if (!plan) return "The run ended without a plan.";
  if (!ingested && !finalized) return `${missing(plan)} Nothing was written.`;
  const sessions = finalized?.finalized ?? [];
  const later = finalized?.not_over_yet ?? [];
  const published = sessions.map((each) => `${each.venue} ${each.session}`).join(", ");
  return [
    ingested ? `${counted(plan.to_ingest, "record")} restored.` : missing(plan),
    published ? `Published: ${published}.` : "No session had to be published.",
    later.length ? `Not over yet, published after their close: ${later.join(", ")}.` : "",
  ].filter(Boolean).join(" ");
}

function terms(plan) {
  const shown = Object.entries(TERMS).filter(([name]) => name in plan);
  const entries = shown.map(([name, title]) => {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    const value = plan[name];
    term.textContent = title;
    text.textContent = typeof value === "number" ? value.toLocaleString("en-US") : [value].flat().join(", ") || "none";
    return [term, text];
  });
  document.getElementById("plan").replaceChildren(...entries.flat());
}

async function show(id) {
  const path = encodeURIComponent(id);
  const [now, instances] = await Promise.all([ask(`/${path}`), ask(`/${path}/taskInstances`)]);
  const tasks = instances.task_instances;
  const isDone = (name) => tasks.some((task) => task.task_id === name && task.state === "success");
  const [plan, ingested, finalized] = await Promise.all(
    ["plan", "ingest", "finalize"].map((name) => (isDone(name) ? returned(path, name) : null)),
  );
  state.textContent = sentence(now, plan, ingested, finalized, tasks);
  state.className = now.state === "failed" ? "grave" : "";
  if (plan) terms(plan);
  const link = document.getElementById("link");
  link.href = `${run.dataset.dags}/${run.dataset.dag}/runs/${path}`;
  link.hidden = false;
  run.hidden = false;
  return OVER.includes(now.state);
}

async function follow(id) {
  while (!(await show(id))) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
}

function complain(error) {
  run.hidden = false;
  state.textContent = error.message;
  state.className = "grave";
}

function choose() {
  for (const part of form.querySelectorAll("[data-for]")) {
    part.hidden = part.dataset.for !== form.elements.by.value;
    for (const input of part.querySelectorAll("input")) input.disabled = part.hidden;
  }
}

function conf(isPlan) {
  const fields = new FormData(form); // without the disabled ones
  const given = ["by", "from", "to", "offsets", "reason"].filter((name) => fields.get(name));
  const symbols = fields.get("symbols").split(/[\s,]+/).filter(Boolean);
  return {
    ...Object.fromEntries(given.map((name) => [name, fields.get(name).trim()])),
    ...(symbols.length ? { symbols } : {}),
    dry_run: isPlan,
  };
}

async function start(isPlan) {
  document.getElementById("which").textContent = isPlan ? "The plan" : "The backfill";
  document.getElementById("plan").replaceChildren();
  document.getElementById("link").hidden = true;
  state.removeAttribute("class");
  state.textContent = "Starting…";
  run.hidden = false;
  const body = JSON.stringify({ logical_date: null, conf: conf(isPlan) });
  await follow((await ask("", { method: "POST", body })).dag_run_id);
}

async function showLast() {
  const newest = await ask("?order_by=-run_after&limit=1");
  if (newest.dag_runs.length) await follow(newest.dag_runs[0].dag_run_id);
}

if (form) {
  const [plan, fill] = form.querySelectorAll("button");
  plan.addEventListener("click", () => { form.elements.reason.required = false; });
  fill.addEventListener("click", () => { form.elements.reason.required = true; });
  form.elements.by.addEventListener("change", choose);
  choose();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    plan.disabled = fill.disabled = true;
    try {
      await start(event.submitter !== fill);
    } catch (error) {
      complain(error);
    } finally {
      plan.disabled = fill.disabled = false;
    }
  });
} else {
  showLast().catch(complain);
}
