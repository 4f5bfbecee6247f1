"use strict";
// Draws the chart, refreshes it while bars are provisional, and opens a bar's page.
import { complain, draw } from "./draw.js";

const AGAIN_MS = 2000;
const CALM_MS = 30000;

const chart = document.getElementById("chart");
const state = document.getElementById("state");

function address(path, more) {
  const asked = { symbol: chart.dataset.symbol, resolution: chart.dataset.resolution, ...more };
  for (const name of ["venue", "origin", "session", "below"]) {
    if (chart.dataset[name]) asked[name] = chart.dataset[name];
  }
  return `${path}?${new URLSearchParams(asked)}`;
}

function told(figure) {
  const counts = { final: 0, provisional: 0 };
  for (const trace of figure.data) {
    if (trace.type === "candlestick") counts[trace.name] = trace.x.length;
  }
  state.textContent = `${counts.final.toLocaleString("en")} final and ` +
    `${counts.provisional.toLocaleString("en")} provisional bars, times in UTC`;
  return counts;
}

async function look() {
  let pause = CALM_MS;
  try {
    if (document.visibilityState === "visible") {
      const figure = await draw(chart, address(chart.dataset.url));
      if (told(figure).provisional) pause = AGAIN_MS;
    }
  } catch (error) {
    complain(state, error);
  }
  setTimeout(look, pause);
}

if (chart) {
  look().then(() => {
    if (chart.on) chart.on("plotly_click", (event) => {
      const start = event.points.map((point) => point.customdata).find(Boolean);
      if (start && chart.dataset.bar) location.assign(address(chart.dataset.bar, { start_ns: start }));
    });
  });
}
