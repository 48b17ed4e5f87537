// Map values to pixels, with ticks at round numbers.
function niceStep(span, count) {
  const power = 10 ** Math.floor(Math.log10(span / count));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= (span / count) * (1 - 1e-9));
}

function linear(values, from, to, { zero = false, count = 5, whole = false } = {}) {
  let low = Math.min(...values), high = Math.max(...values);
  if (!values.length) [low, high] = [0, 1];
  if (zero) low = Math.min(low, 0);
  if (high - low <= 1e-12 * Math.max(1, Math.abs(high))) {
    const margin = Math.abs(high) / 2 || 1;
    [low, high] = [low - (low === 0 ? 0 : margin), high + margin];
  }
  const step = Math.max(niceStep(high - low, count), whole ? 1 : 0);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(i * step);
  const at = (value) => from + ((value - low) / (high - low)) * (to - from);
  return { at, ticks, step, log: false };
}

function logarithmic(values, from, to, count = 5) {
  const low = Math.floor(Math.log10(Math.min(...values))), high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const every = Math.max(1, Math.ceil((high - low) / count));
  const ticks = [];
  for (let power = high; power >= low; power -= every) ticks.push(10 ** power);
  const at = (value) => from + ((Math.log10(value) - low) / (high - low)) * (to - from);
  return { at, ticks, step: 0, log: true };
}

// Overlaps span sixteen powers of ten: rounding errors of orthogonal directions, and 1 for equal ones.
const isLogarithmic = (form, values) => form === "overlap" && values.some((value) => value > 0 && value < 1e-3);
