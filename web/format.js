// Numbers, times and names as people read them. Pure.

const whole = new Intl.NumberFormat("en-US", {maximumFractionDigits: 0});
const ratio = new Intl.NumberFormat("en-US", {minimumFractionDigits: 3, maximumFractionDigits: 3});
const moment = new Intl.DateTimeFormat(undefined, {dateStyle: "medium", timeStyle: "short"});

export const NOTHING = "—";

export function count(value) {
  return value === null || value === undefined ? NOTHING : whole.format(value);
}

export function accuracy(value) {
  return typeof value === "number" ? ratio.format(value) : NOTHING;
}

// A value of a curve: the API's strings stand for what JSON has no numbers for.
export function toNumber(value) {
  if (typeof value === "number") return value;
  return {"Infinity": Infinity, "-Infinity": -Infinity}[value] ?? NaN;
}

export function compact(value) {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1).replace("e+", "e").replace(".0e", "e");
  return size >= 1000 ? whole.format(value) : String(Number(value.toPrecision(3)));
}

// Ticks that are `step` apart, with as many digits as tell them apart.
export function tickText(value, step) {
  const digits = Math.floor(Math.log10(Math.abs(value))) - Math.floor(Math.log10(step) + 1e-9) + 1;
  if (value === 0 || digits <= 2) return compact(value);
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(Math.min(digits - 1, 15)).replace("e+", "e");
  return value.toLocaleString("en-US", {maximumSignificantDigits: Math.min(digits, 15)});
}

// Microseconds of UTC.
export function time(microseconds) {
  return microseconds ? moment.format(new Date(microseconds / 1000)) : NOTHING;
}

export function duration(seconds) {
  if (typeof seconds !== "number") return NOTHING;
  if (seconds < 60) return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${whole.format(Math.floor(seconds / 3600))} h ${Math.floor(seconds / 60) % 60} min`;
}

export function words(name) {
  return name.replaceAll("_", " ");
}

// Dotted names without what they have in common with no other: "optimizer.weight_decay" → "weight_decay".
export function shortNames(names) {
  const last = name => name.split(".").pop();
  const seen = new Map();
  for (const name of names) seen.set(last(name), (seen.get(last(name)) ?? 0) + 1);
  return new Map(names.map(name => [name, seen.get(last(name)) > 1 ? name : last(name)]));
}

// As the command line writes it: with a power of ten where that is shorter, of which it counts the sign and two digits.
export function parameter(value) {
  if (typeof value === "string") return value;
  if (typeof value !== "number" || (Number.isInteger(value) && Math.abs(value) < 1e15)) return JSON.stringify(value);
  const [digits, power] = value.toExponential().split("e");
  const plain = String(value);
  const shorter = plain.length <= digits.length + 2 + Math.max(2, power.length - 1);
  return shorter && !plain.includes("e") ? plain : `${digits}e${power.replace("+", "")}`;
}

// A median over seeds of which some never got there: beyond the budget if fewer than half did, nothing if none did.
export function medianOrBound(median, reached, budget) {
  if (median !== null) return count(median);
  return reached > 0 && budget ? `>${count(budget)}` : NOTHING;
}
