// Number formats, as in the tables.
const NOTHING = "–";
const UNITS = { share: "%", loss: "nats", seconds: "s", memory_bytes: "MiB" };

function fixed(value, digits) {
  const text = value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return /[1-9]/.test(text) ? text.replace("-", "−") : text.replace("-", "");
}

function written(form, value) {
  if (value === null || value === undefined) return NOTHING;
  if (form === "share") return fixed(100 * value, 1);
  if (form === "loss" || form === "measure") return fixed(value, 3);
  if (form === "seconds") return fixed(value, 2);
  if (form === "memory_bytes") return fixed(value / 2 ** 20, 0);
  if (form === "overlap") {
    return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(0).replace("-", "−") : fixed(value, 3);
  }
  return fixed(value, Number.isInteger(value) ? 0 : 1);
}

function withUnit(form, value) {
  const text = written(form, value);
  return text === NOTHING || !UNITS[form] ? text : `${text} ${UNITS[form]}`;
}

function interval(form, low, high) {
  if (low === null || high === null || low === undefined || high === undefined) return "";
  const [from, to] = [written(form, low), written(form, high)];
  return from === to ? "" : `[${from}, ${to}]`;
}

// Use only as many digits as distinguish neighbouring ticks.
function tickText(form, value, step) {
  if (form === "overlap" && value > 0 && (value < 1e-3 || step === 0)) {
    return value.toExponential(0).replace("e+0", "").replace("-", "−");
  }
  const factor = form === "share" ? 100 : form === "memory_bytes" ? 1 / 2 ** 20 : 1;
  const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(step * factor) + 1e-9)));
  return fixed(value * factor, digits);
}
