// Charts of a run over its rounds.
function drawRun() {
  const hosts = document.querySelectorAll("#charts .chart");
  data.charts.forEach(({ title, form, zero, series }, i) => {
    const drawn = series.map((one, style) => ({ ...one, style, x: data.rounds }));
    chart(hosts[i], { title, form, zero, xTitle: "Round", xForm: "round", height: 260, series: drawn });
    if (drawn.length > 1) {
      hosts[i].after(html("div", { class: "legend" }, ...drawn.map(({ style, label }) => html("span", {}, swatch(style), label))));
    }
  });
}

setUpSorting();
drawRun();
