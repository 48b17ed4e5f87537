// A chart of curves with bands, with values by pointer, touch or keyboard.
// options: { title, xTitle, form, xForm, series: [{ label, style, x, mean, low, high }], height, small, zero }
function chart(host, options) {
  const figure = html("figure");
  const tip = html("div", { class: "tip", role: "status", hidden: "" });
  host.replaceChildren(figure, tip);
  const paint = () => {
    tip.hidden = true;
    figure.replaceChildren(html("figcaption", {}, options.title), picture(host, tip, options));
  };
  paint();
  let width = host.clientWidth;
  host.observer?.disconnect();
  host.observer = new ResizeObserver(() => {
    if (host.clientWidth !== width && host.clientWidth > 0) {
      width = host.clientWidth;
      paint();
    }
  });
  host.observer.observe(host);
}

const known = (value) => value !== null && value !== undefined;

function layout(host, { series, form, xForm, height, small, zero }) {
  const width = Math.max(220, host.clientWidth);
  const values = series.flatMap((s) => [...s.mean, ...(s.low ?? []), ...(s.high ?? [])]).filter(known);
  const xs = series.flatMap((s) => s.x).filter(known);
  const [top, bottom] = [10, height - (small ? 26 : 46)];
  const log = isLogarithmic(form, values);
  const count = small ? 4 : 7;
  const y = log
    ? logarithmic([1, ...values.filter((value) => value > 0)], bottom, top, count)
    : linear(values, bottom, top, { zero, count });
  const texts = y.ticks.map((tick) => tickText(form, tick, y.step));
  const left = 14 + 7 * Math.max(1, ...texts.map((text) => text.length));
  const x = linear(xs, left + 4, width - 14, { count: Math.min(9, Math.floor((width - left) / 48)), whole: xForm === "round" });
  const place = (s, i, value) => (known(value) && known(s.x[i]) && !(log && value <= 0) ? [x.at(s.x[i]), y.at(value)] : null);
  return { width, height, left, bottom, x, y, texts, place };
}

function path(points) {
  let text = "", pen = false;
  for (const point of points) {
    if (point) text += `${pen ? "L" : "M"}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    pen = Boolean(point);
  }
  return text;
}

function band(s, place) {
  const upper = s.x.map((_, i) => place(s, i, s.high?.[i])), lower = s.x.map((_, i) => place(s, i, s.low?.[i]));
  const both = s.x.map((_, i) => i).filter((i) => upper[i] && lower[i]);
  if (both.length < 2) return null;
  const outline = [...both.map((i) => upper[i]), ...both.reverse().map((i) => lower[i])];
  return svg("path", { class: `band ${colour(s.style)}`, d: `${path(outline)}Z` });
}

function line(s, place, small) {
  const points = s.x.map((_, i) => place(s, i, s.mean[i]));
  const every = small ? Infinity : Math.max(1, Math.ceil(points.length / 24));
  const marked = points.filter((point, i) => point && (i % every === 0 || i === points.length - 1) && (!small || i > 0));
  return svg("g", {},
    svg("path", { class: `curve ${colour(s.style)}`, d: path(points), "stroke-dasharray": dash(s.style) }),
    ...marked.map(([left, top]) => mark(s.style, left, top, small ? 0.6 : 0.72)));
}

function picture(host, tip, options) {
  const { series, small, form, xTitle } = options;
  const space = layout(host, options);
  const { width, height, left, bottom, x, y, texts, place } = space;
  const image = svg("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: "img",
    "aria-label": `${options.title} against ${xTitle.toLowerCase()}; the arrow keys read its values`,
  });
  image.append(
    ...y.ticks.flatMap((tick, i) => [
      svg("line", { class: "grid", x1: left, x2: width - 8, y1: y.at(tick), y2: y.at(tick) }),
      svg("text", { x: left - 8, y: y.at(tick) + 4, "text-anchor": "end" }, texts[i]),
    ]),
    ...x.ticks.map((tick) =>
      svg("text", { x: x.at(tick), y: bottom + 20, "text-anchor": "middle" }, tickText(options.xForm, tick, x.step))),
    ...(small ? [] : [svg("text", { x: width - 8, y: height - 4, "text-anchor": "end" }, xTitle)]),
    ...series.map((s) => band(s, place)).filter(known),
    ...series.map((s) => line(s, place, small)),
  );
  if (!series.some((s) => s.mean.some(known))) {
    image.append(svg("text", { x: (left + width) / 2, y: height / 2, "text-anchor": "middle" }, "nothing to show"));
  }
  listen(image, host, tip, options, space, form);
  return image;
}

function listen(image, host, tip, options, { width, bottom, x, place }, form) {
  const stops = [...new Set(options.series.flatMap((s) => s.x).filter(known))].sort((a, b) => a - b);
  const cross = svg("line", { class: "cross", y1: 6, y2: bottom, visibility: "hidden" });
  image.prepend(cross);
  let at = -1;
  const hide = () => {
    tip.hidden = true;
    cross.setAttribute("visibility", "hidden");
  };
  const show = (index) => {
    if (!stops.length) return;
    at = Math.max(0, Math.min(stops.length - 1, index));
    const left = x.at(stops[at]);
    for (const end of ["x1", "x2"]) cross.setAttribute(end, left);
    cross.setAttribute("visibility", "visible");
    tip.replaceChildren(...reading(options, stops[at], form));
    tip.hidden = false;
    const beside = left + 16 + tip.offsetWidth > width ? left - 16 - tip.offsetWidth : left + 16;
    tip.style.transform = `translate(${Math.max(0, Math.min(beside, width - tip.offsetWidth))}px, 2rem)`;
  };
  const point = (event) => {
    const offset = event.clientX - image.getBoundingClientRect().left;
    show(stops.reduce((best, stop, i) => (Math.abs(x.at(stop) - offset) < Math.abs(x.at(stops[best]) - offset) ? i : best), 0));
  };
  image.addEventListener("pointermove", point);
  image.addEventListener("pointerdown", point);
  image.addEventListener("pointerleave", hide);
  image.addEventListener("blur", hide);
  image.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: stops.length - 1 };
    if (event.key in moves) {
      event.preventDefault();
      show(moves[event.key]);
    } else if (event.key === "Escape" && !tip.hidden) {
      event.stopPropagation();
      hide();
    }
  });
}

// The nearest point of every series; each names its own x, since arms may advance at different rates.
function reading({ series, xTitle, xForm }, stop, form) {
  const rows = series.map((s) => {
    const i = s.x.reduce((best, value, k) => (Math.abs(value - stop) < Math.abs(s.x[best] - stop) ? k : best), 0);
    return { s, value: s.mean[i], range: interval(form, s.low?.[i], s.high?.[i]), x: s.x[i] };
  });
  rows.sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity));
  return [
    html("strong", {}, `${xTitle} ${written(xForm, stop)}`),
    ...rows.slice(0, 12).map(({ s, value, range, x }) =>
      html("div", {},
        swatch(s.style),
        html("span", {}, s.label),
        html("span", {}, withUnit(form, value), html("small", {}, range ? ` ${range}` : "", x !== stop ? ` at ${written(xForm, x)}` : "")))),
  ];
}
