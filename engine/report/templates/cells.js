// The view of one cell, at #cell/KEY.
function cellView(cell, index) {
  const title = html("h1", { tabindex: -1 }, cell.label || cell.key);
  const facts = [
    html("span", { class: `status ${cell.status}` }, cell.status),
    cell.ended ? html("span", {}, cell.ended) : null,
    html("span", {}, `${Math.max(0, cell.rounds[0].length - 1)} of ${cell.planned} rounds`),
    known(cell.best) ? html("span", {}, `best on validation: round ${cell.best}`) : null,
    Object.keys(cell.tuning).length ? html("span", {}, cell.selected ? "the chosen tuning" : "a tuning that was not chosen") : null,
  ];
  return [
    html("a", { class: "back", href: "#cells" }, "← The whole study"),
    html("header", { class: "opening" }, html("p", { class: "kicker" }, "Cell"), title,
      html("p", { class: "cell-head" }, ...facts),
      cell.cause ? html("p", { class: "cause", role: "note" }, cell.cause) : null),
    ...roundsOf(cell),
    section("Spec", pairs(cell.spec, data.common.spec), cell.spec && "Bold: values that differ between the cells of the study."),
    section("Provenance", pairs({ folder: `runs/${cell.folder}`, cell: cell.key, ...cell.provenance }, cell.provenance ? data.common.provenance : {})),
    steps(index),
  ];
}

const section = (title, content, gloss) =>
  html("section", {}, html("h2", {}, title), gloss ? html("p", { class: "gloss" }, gloss) : null, content);

function pairs(own, common) {
  if (own === null) return html("p", { class: "gloss" }, "Not written yet.");
  const lines = [...Object.entries(own).map((line) => [...line, true]), ...Object.entries(common).filter(([key]) => !(key in own))];
  return html("dl", { class: "pairs" },
    ...lines.flatMap(([key, value, differs]) => [
      html("dt", { class: `code${differs ? " own" : ""}` }, key), html("dd", { class: "code" }, value === "" ? NOTHING : value)]));
}

function roundsOf(cell) {
  const rounds = cell.rounds[0].length;
  if (!rounds) return [html("section", {}, html("p", { class: "gloss" }, "No round has finished."))];
  const used = data.columns.map((column, i) => ({ ...column, values: cell.rounds[i] })).filter(({ values }) => values.some(known));
  const head = used.map(({ key, title }) => html("th", { scope: "col", class: key === "status" ? "text" : "number" }, title));
  const rows = cell.rounds[0].map((round, i) =>
    html("tr", {}, ...used.map(({ key, form, values }) =>
      html(key === "round" ? "th" : "td", { scope: key === "round" ? "row" : null, class: key === "status" ? "text" : "number" },
        key === "status" ? values[i] : written(form, values[i])))));
  const table = html("table", {},
    html("caption", {}, html("span", {}, "Round 0 is the model before boosting.")), html("thead", {}, html("tr", {}, ...head)), html("tbody", {}, ...rows));
  return [
    html("section", {}, html("h2", {}, "Round by round"), html("div", { class: "small-charts own-charts" }),
      html("div", { class: "legend" }, ...SPLITS.map((split, i) => html("span", {}, swatch(i), SPLIT_TITLES[i])))),
    html("section", {}, html("h2", {}, "Rounds"),
      html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Rounds, scrollable" }, table)),
  ];
}

const SPLITS = ["test", "validation", "train"], SPLIT_TITLES = ["Test", "Validation", "Training"];

// The study's metric, if it is neither the accuracy nor the loss.
function comparedMeasure() {
  const metric = data.study.metric.split(".").at(-1), found = data.columns.find(({ key }) => key === data.study.metric);
  if (!found || metric === "accuracy" || metric === "loss") return [];
  const title = found.title.split(/\s/).slice(1).join(" ");
  return [[metric, title.charAt(0).toUpperCase() + title.slice(1), found.form]];
}

function drawCell(cell) {
  const host = document.querySelector(".own-charts");
  const column = (key) => cell.rounds[data.columns.findIndex((found) => found.key === key)];
  for (const [metric, title, form] of [["accuracy", "Accuracy, %", "share"], ["loss", "Loss, nats", "loss"], ...comparedMeasure()]) {
    const place = html("div", { class: "chart" });
    host?.append(place);
    if (host) {
      const series = SPLITS.map((split, i) => ({ label: SPLIT_TITLES[i], style: i, x: column("round"), mean: column(`${split}.${metric}`) }));
      chart(place, { title, form, xTitle: "Round", xForm: "round", height: 240, series });
    }
  }
}

function steps(index) {
  const to = (cell, text) => (cell ? html("a", { href: `#cell/${cell.key}`, "data-step": "" }, text) : html("span"));
  const [before, after] = [data.cells[index - 1], data.cells[index + 1]];
  return html("nav", { class: "steps", "aria-label": "Other cells" }, to(before, `← ${before?.label}`), to(after, `${after?.label} →`));
}

let opener = null, place = 0, inside = false;

function route() {
  const key = /^#cell\/(.+)$/.exec(location.hash)?.[1];
  const index = data.cells.findIndex((cell) => cell.key === key);
  const study = byId("study"), view = byId("cell");
  if (index >= 0) {
    if (!study.hidden) [opener, place] = [document.activeElement, scrollY];
    const cell = data.cells[index];
    [study.hidden, view.hidden] = [true, false];
    view.replaceChildren(...cellView(cell, index));
    drawCell(cell);
    document.title = `${cell.label} · ${data.study.name}`;
    scrollTo({ top: 0, behavior: "instant" });
    view.querySelector("h1").focus({ preventScroll: true });
  } else if (!view.hidden) {
    [study.hidden, view.hidden] = [false, true];
    view.replaceChildren();
    document.title = `${data.study.name} · ablation study`;
    scrollTo({ top: place, behavior: "instant" });
    opener?.focus?.({ preventScroll: true });
  }
}

// "Back" leads to the study in one step, however many cells were viewed.
function leave() {
  if (inside) history.back();
  else location.hash = "#cells";
}

function setUpCells() {
  addEventListener("hashchange", route);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const target = link.getAttribute("href") ?? "";
    if (link.classList.contains("back")) {
      event.preventDefault();
      leave();
    } else if (link.dataset.step !== undefined) {
      event.preventDefault();
      location.replace(target);
    } else if (target.startsWith("#cell/")) inside = true;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !byId("cell").hidden) leave();
  });
  route();
}
