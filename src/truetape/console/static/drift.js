"use strict";
// Draws the drift of one session.
import { complain, draw } from "./draw.js";

const chart = document.getElementById("chart");
const state = document.getElementById("state");

if (chart) {
  draw(chart, chart.dataset.url)
    .then(() => { state.textContent = "Changed bars by cause, and the volume they moved; times in UTC"; })
    .catch((error) => complain(state, error));
}
