"use strict";
// Draws the chart that the server describes, refreshes it while bars are provisional, and opens a bar's page.
const AGAIN_MS = 2000;
const CALM_MS = 30000;

const chart = document.getElementById("chart");
const state = document.getElementById("state");

function address(path, more) {
  const asked = { symbol: chart.dataset.symbol, resolution: chart.dataset.resolution, ...more };
  for (const name of ["venue", "session"]) {
    if (chart.dataset[name]) asked[name] = chart.dataset[name];
  }
  return `${path}?${new URLSearchParams(asked)}`;
}

function styled(layout) {
  const style = getComputedStyle(document.body);
  const grid = style.getPropertyValue("--line").trim();
  const axis = { gridcolor: grid, linecolor: grid };
  return {
    ...layout,
    font: { color: style.color, family: style.fontFamily },
    xaxis: { ...layout.xaxis, ...axis },
    xaxis2: { ...layout.xaxis2, ...axis },
    yaxis: { ...layout.yaxis, ...axis },
    yaxis2: { ...layout.yaxis2, ...axis },
    margin: { l: 60, r: 20, t: 10, b: 40 },
    uirevision: "kept",
  };
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

async function draw() {
  let pause = CALM_MS;
  try {
    const answer = await fetch(address(chart.dataset.url), { headers: { Accept: "application/json" } });
    const figure = await answer.json();
    if (!answer.ok) throw new Error(figure.detail);
    await Plotly.react(chart, figure.data, styled(figure.layout), { responsive: true, displaylogo: false });
    if (told(figure).provisional) pause = AGAIN_MS;
    chart.dataset.drawn = "yes";
  } catch (error) {
    state.textContent = error.message;
    state.setAttribute("role", "alert");
  }
  setTimeout(() => document.visibilityState === "visible" ? draw() : setTimeout(draw, CALM_MS), pause);
}

if (chart) {
  draw().then(() => {
    if (chart.on) chart.on("plotly_click", (event) => {
      const start = event.points.map((point) => point.customdata).find(Boolean);
      if (start) location.assign(address(chart.dataset.bar, { start_ns: start }));
    });
  });
}
