"use strict";
// The market page: fetches bars, refreshes them, and does at once what its buttons say.
import { CandleChart } from "./chart.js";

const AGAIN_MS = 1000;
const CALM_MS = 30000;
const TAIL_BARS = 120;
const ALL_EVERY = 30;
const DEFAULT_INDICATORS = ["session_vwap"];

const host = document.getElementById("chart");
const element = (name) => document.getElementById(name);
const all = (selector) => [...document.querySelectorAll(selector)];
const number = (value, digits) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits ?? 8 });

const ask = host ? { ...host.dataset } : {};
const search = new URLSearchParams(location.search);
let chosen = new Set(search.has("show") ? search.get("show").split(",").filter(Boolean) : DEFAULT_INDICATORS);
let zone = search.get("time") === "exchange" ? "exchange" : "utc";
let chart;
let data;
let round = 0;
let turn = 0;
let timer;
let hasOlder = true;
let isLoading = false;

function query(more) {
  const asked = { symbol: ask.symbol, resolution: ask.resolution };
  for (const name of ["venue", "origin", "session", "as_of"]) if (ask[name] && `${name} ${ask[name]}` !== "origin utc") asked[name] = ask[name];
  return new URLSearchParams({ ...asked, ...more });
}

function address(changes) {
  const before = { ...ask };
  Object.assign(ask, changes);
  const asked = query({});
  Object.assign(ask, before);
  const show = [...chosen].join(",");
  if (show !== DEFAULT_INDICATORS.join(",")) asked.set("show", show);
  if (zone === "exchange") asked.set("time", zone);
  return `?${asked}`;
}

async function fetched(more) {
  const answer = await fetch(`${host.dataset.url}?${query(more)}`, { headers: { Accept: "application/json" } });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.detail);
  return content;
}

function write(place, parts) {
  place.replaceChildren(...parts.flatMap(([name, value, kind]) => {
    const span = document.createElement("span");
    if (kind) span.className = kind;
    const label = document.createElement("b");
    label.textContent = name;
    span.append(label, ` ${value}`);
    return [span, " "];
  }));
}

function readout(bar, mark) {
  if (!bar) return element("readout").replaceChildren();
  const price = (value) => number(value, data.decimals);
  const parts = [["", chart.clock(bar.time, true)], ["O", price(bar.open)], ["H", price(bar.high)], ["L", price(bar.low)], ["C", price(bar.close)]];
  if (bar.before) {
    const change = bar.close - bar.before.close;
    const sign = change > 0 ? "+" : "";
    const share = bar.before.close ? ` (${sign}${number(100 * change / bar.before.close, 2)} %)` : "";
    parts.push(["Change", `${sign}${price(change)}${share}`, change < 0 ? "down" : "up"]);
  }
  parts.push(["V", number(bar.volume)], ["VWAP", bar.vwap == null ? "none" : number(bar.vwap, data.decimals + 2)]);
  parts.push(["", `${number(bar.trades)} trade${bar.trades === 1 ? "" : "s"}`], ["", bar.final ? `final, rev ${bar.rev}` : "provisional"]);
  if (mark?.isNew) parts.push(["Changed", `not shown before: ${mark.causes}`, "changed"]);
  else if (mark) {
    const names = { open: "O", high: "H", low: "L", close: "C", volume: "V", vwap: "VWAP", trades: "trades" };
    const before = Object.entries(mark.before).map(([name, value]) => {
      const isPrice = ["open", "high", "low", "close"].includes(name);
      const digits = isPrice ? data.decimals : name === "vwap" ? data.decimals + 2 : undefined;
      return `${names[name]} ${number(value, digits)} → ${number(bar[name] ?? 0, digits)}`;
    });
    parts.push(["Changed", `${before.join(", ") || "in a part of it"} by ${mark.causes || "the publication"}`, "changed"]);
  }
  write(element("readout"), parts);
}

function report() {
  const { bars, provisional, empty } = host.dataset;
  const zoneName = zone === "exchange" ? data.zone : "UTC";
  const holes = Number(empty) ? `, ${number(Number(empty))} intervals without trades` : "";
  const known = ask.as_of ? `, as known at ${ask.as_of.replace("T", " ")} UTC` : "";
  element("state").textContent = `${number(bars - provisional)} final and ${number(Number(provisional))} provisional bars${holes}; times in ${zoneName}${known}`;
  element("state").setAttribute("role", "status");
}

function controls() {
  all("[data-resolution][aria-pressed]").forEach((button) => button.setAttribute("aria-pressed", button.dataset.resolution === ask.resolution));
  all("[data-indicator]").forEach((button) => button.setAttribute("aria-pressed", chosen.has(button.dataset.indicator)));
  all("[data-zone]").forEach((button) => button.setAttribute("aria-pressed", button.dataset.zone === zone));
  element("venue").textContent = data?.venue ? `${data.venue} · ${data.venueName}` : ask.venue;
  for (const [name, session, text] of [["before", data?.before, "Previous session, "], ["after", data?.after, "Next session, "]]) {
    const link = element(name);
    link.hidden = !session;
    if (session) { link.href = address({ session, venue: data.venue }); link.textContent = text + session; }
  }
  element("newest").hidden = !ask.session && !ask.as_of;
  element("newest").href = address({ session: "", as_of: "" });
}

function indicate() {
  const buttons = all("[data-indicator]").filter((button) => chosen.has(button.dataset.indicator));
  chart.indicators(buttons.map((button) => ({ names: button.dataset.lines.split(" "), below: Boolean(button.dataset.below) })));
  element("missing").replaceChildren(...buttons.filter((button) => data.missing[button.dataset.indicator] && !button.dataset.lines.split(" ").some((name) => chart.lines.has(name))).map((button) => {
    const item = document.createElement("li");
    item.textContent = data.missing[button.dataset.indicator];
    return item;
  }));
}

function explain(why, isError) {
  host.hidden = true;
  element("readout").replaceChildren();
  element("missing").replaceChildren();
  element("empty").hidden = false;
  element("empty").textContent = why.charAt(0).toUpperCase() + why.slice(1) + (/[.!?]$/.test(why) ? "" : ".");
  element("state").textContent = isError ? "There is no chart." : "There are no bars to show.";
  element("state").setAttribute("role", isError ? "alert" : "status");
  host.dataset.drawn = "no";
}

async function load() {
  const mine = ++turn;
  clearTimeout(timer);
  try {
    const answer = await fetched({});
    if (mine !== turn) return;
    data = answer;
    data.session = ask.session;
    hasOlder = true;
    round = 0;
    if (data.why) explain(data.why);
    else {
      host.hidden = false;
      element("empty").hidden = true;
      chart ??= new CandleChart(host, { onPick: open, onPoint: readout, onOlder: older });
      chart.zone = zone === "exchange" ? data.zone : "UTC";
      host.candleChart = chart;
      chart.take(data, { isNew: true });
      indicate();
      readout(chart.ordered.at(-1), chart.changed.get(chart.ordered.at(-1).seconds));
      report();
      host.dataset.drawn = "yes";
    }
    controls();
  } catch (error) {
    if (mine !== turn) return;
    data = undefined;
    explain(error.message, true);
  }
  again(mine);
}

// Newest bars every second while any is provisional; all bars of the first answer every half minute.
function again(mine) {
  if (mine !== turn || ask.as_of) return;
  const isLive = data && (data.why ? false : Number(host.dataset.provisional) > 0);
  timer = setTimeout(() => refresh(mine), isLive ? AGAIN_MS : CALM_MS);
}

async function refresh(mine) {
  if (document.visibilityState === "visible") {
    try {
      const bars = chart?.ordered;
      const isTail = data && !data.why && bars?.length && ++round % ALL_EVERY;
      const answer = await fetched(isTail ? { from_ns: bars[Math.max(0, bars.length - TAIL_BARS)].start } : {});
      if (mine !== turn) return;
      if (!data || data.why) { if (!answer.why) return load(); }
      else if (!answer.why) {
        const hadLines = chart.lines.size;
        chart.take(answer);
        if (!hadLines && chosen.size) indicate();
        if (!chart.pointed) readout(chart.ordered.at(-1), chart.changed.get(chart.ordered.at(-1).seconds));
        report();
      }
    } catch (error) {
      if (mine !== turn) return;
      element("state").textContent = `Could not refresh: ${error.message}. This chart is old.`;
      element("state").setAttribute("role", "alert");
    }
  }
  again(mine);
}

async function older() {
  if (isLoading || !hasOlder || !chart?.ordered?.length) return;
  isLoading = true;
  const mine = turn;
  try {
    const answer = await fetched({ before_ns: chart.ordered[0].start });
    if (mine !== turn) return;
    hasOlder = answer.bars.length > 0;
    if (hasOlder) { chart.take(answer); indicate(); report(); }
  } catch (error) {
    hasOlder = false;
    element("state").textContent = `Could not load older bars: ${error.message}`;
  } finally {
    isLoading = false;
  }
}

function open(bar) {
  if (!data.hasPages) return;
  location.assign(`${host.dataset.bar}?${query({ start_ns: bar.start, venue: data.venue })}`);
}

function go(changes) {
  history.replaceState(null, "", address(changes));
  Object.assign(ask, changes);
  controls();
  load();
}

if (host) {
  all("[data-resolution][aria-pressed]").forEach((button) => button.addEventListener("click", () => go({ resolution: button.dataset.resolution })));
  all("[data-indicator]").forEach((button) => button.addEventListener("click", () => {
    const { indicator } = button.dataset;
    if (!chosen.delete(indicator)) chosen.add(indicator);
    history.replaceState(null, "", address({}));
    controls();
    if (data && !data.why) indicate();
  }));
  all("[data-zone]").forEach((button) => button.addEventListener("click", () => {
    zone = button.dataset.zone;
    history.replaceState(null, "", address({}));
    controls();
    if (data && !data.why) { chart.timezone(zone === "exchange" ? data.zone : "UTC"); readout(chart.ordered.at(-1), null); report(); }
  }));
  element("session").addEventListener("change", (event) => go({ session: event.target.value }));
  element("as-of").addEventListener("change", (event) => go({ as_of: event.target.value }));
  element("origin").addEventListener("change", (event) => go({ origin: event.target.value }));
  element("venues")?.addEventListener("change", (event) => go({ venue: event.target.value }));
  const typed = document.querySelector("#symbols input[type=search]");
  typed.addEventListener("input", () => {
    const text = typed.value.toLowerCase();
    all("#symbols li").forEach((item) => { item.hidden = !item.textContent.toLowerCase().includes(text); });
  });
  element("symbols").addEventListener("toggle", () => { if (element("symbols").open) typed.focus(); });
  load();
}
