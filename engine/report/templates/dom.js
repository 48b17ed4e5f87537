// Create elements without parsing markup, so that labels of a study cannot inject any.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const html = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// Arms differ by colour, marker and dash; the baseline is neutral.
const MARKS = [
  "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0Z", "M-4.5-4.5H4.5V4.5H-4.5Z", "M0-6L5.6 4.4H-5.6Z", "M0-6.2L6.2 0 0 6.2-6.2 0Z",
  "M0 6L5.6-4.4H-5.6Z", "M0 -6.2L1.7 -1.9L6.3 -1.6L2.8 1.3L3.9 5.7L0 3.3L-3.9 5.7L-2.8 1.3L-6.3 -1.6L-1.7 -1.9Z",
  "M-1.7-5.5H1.7V-1.7H5.5V1.7H1.7V5.5H-1.7V1.7H-5.5V-1.7H-1.7Z",
];
const DASHES = [null, "7 4", "2 4", "9 3 2 3", "14 4"];
const BASE = -1;
const styleOf = (arm) => (arm === data.study.baseline ? BASE : arm);
const colour = (style) => (style === BASE ? "arm-base" : `arm-${style % 6}`);
const dash = (style) => (style === BASE ? null : DASHES[style % DASHES.length]);
const mark = (style, x, y, size = 1) =>
  svg("path", {
    class: `shape ${colour(style)}`, d: MARKS[style === BASE ? 0 : style % MARKS.length],
    transform: `translate(${x} ${y}) scale(${size})`,
  });
const swatch = (style) =>
  svg("svg", { width: 28, height: 12, "aria-hidden": "true", class: colour(style) },
    svg("line", { class: "curve", x1: 1, x2: 27, y1: 6, y2: 6, "stroke-dasharray": dash(style) }),
    mark(style, 14, 6, 0.75));
