// Curves of the study by quantity, axis and block, and the small charts of every study.
const SMALL = ["rank", "overlap", "failures", "lost"];

function setUpCurves() {
  if (!byId("curves")) return;
  const present = Object.keys(data.quantities).filter((name) => data.curves.some((curve) => curve.quantity === name));
  const options = (select, pairs) => select.append(...pairs.map(([value, text]) => html("option", { value }, text)));
  options(byId("quantity"), present.map((name) => [name, data.quantities[name].title]));
  options(byId("axis"), Object.entries(data.axes));
  options(byId("block"), data.study.blocks.map((label, i) => [i, label]).filter(([i]) => data.curves.some((c) => c.block === i)));
  if (present.includes(data.study.metric)) byId("quantity").value = data.study.metric;
  const hidden = new Set();
  const redraw = () => drawCurves(hidden);
  for (const id of ["quantity", "axis", "block"]) byId(id).addEventListener("change", redraw);
  byId("legend").append(...data.study.arms.map((label, arm) => legendButton(label, arm, hidden, redraw)));
  byId("small-charts").append(
    ...SMALL.filter((name) => present.includes(name)).map((name) => html("div", { class: "chart", "data-quantity": name })));
  redraw();
}

function legendButton(label, arm, hidden, redraw) {
  const button = html("button", { type: "button", "aria-pressed": "true" }, swatch(styleOf(arm)), html("span", {}, label));
  button.addEventListener("click", () => {
    const shown = hidden.delete(arm);
    if (!shown) hidden.add(arm);
    button.setAttribute("aria-pressed", String(shown));
    redraw();
  });
  return button;
}

function seriesOf(quantity, axis, hidden) {
  const block = Number(byId("block").value);
  return data.curves
    .filter((curve) => curve.quantity === quantity && curve.block === block && !hidden.has(curve.arm))
    .filter((curve) => data.x[curve.x][axis])
    .map((curve) => ({ ...curve, x: data.x[curve.x][axis], label: data.study.arms[curve.arm], style: styleOf(curve.arm) }));
}

const titled = ({ title, unit }) => (unit ? `${title}, ${unit}` : title);

function drawCurves(hidden) {
  const axis = byId("axis").value, quantity = byId("quantity").value;
  const about = { xTitle: data.axes[axis], xForm: axis };
  const { form } = data.quantities[quantity];
  const main = byId("main-chart");
  chart(main, {
    ...about, title: titled(data.quantities[quantity]), form, height: main.clientWidth < 560 ? 300 : 440,
    series: seriesOf(quantity, axis, hidden),
  });
  for (const host of byId("small-charts").children) {
    const shown = data.quantities[host.dataset.quantity];
    chart(host, { ...about, title: titled(shown), form: shown.form, height: 190, small: true, zero: true, series: seriesOf(host.dataset.quantity, axis, hidden) });
  }
}
