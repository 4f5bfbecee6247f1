"use strict";
// Draws what the server describes in the page's own colours.

export function styled(layout) {
  const style = getComputedStyle(document.body);
  const grid = style.getPropertyValue("--line").trim();
  const axis = { gridcolor: grid, linecolor: grid };
  const axes = Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name));
  return {
    ...layout,
    font: { color: style.color, family: style.fontFamily },
    ...Object.fromEntries(axes.map((name) => [name, { ...layout[name], ...axis }])),
    margin: { l: 60, r: 20, t: 10, b: 40 },
    uirevision: "kept",
  };
}

export async function draw(chart, address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  const figure = await answer.json();
  if (!answer.ok) throw new Error(figure.detail);
  await Plotly.react(chart, figure.data, styled(figure.layout), { responsive: true, displaylogo: false });
  chart.dataset.drawn = "yes";
  return figure;
}

export function complain(state, error) {
  state.textContent = error.message;
  state.setAttribute("role", "alert");
}
