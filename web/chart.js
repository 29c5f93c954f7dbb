// Line charts as SVG: two scales, a few lines, and a reading of the values at one step by pointer or arrow keys.
import {element, svg} from "./elements.js";
import {compact, count, tickText} from "./format.js";

const HEIGHT = 240;
const MARGIN = {left: 52, right: 26, top: 14, bottom: 30};

function finite(values) {
  return values.filter(Number.isFinite);
}

// Nice round values between low and high, at least `least` apart.
function linearTicks(low, high, most, least = 0) {
  const span = high - low || 1;
  const rough = Math.max(span / most, least);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(each => each * power).find(each => each >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

function powersOfTen(low, high, most) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const stride = Math.max(1, Math.ceil((last - first + 1) / most));
  const ticks = [];
  for (let power = first; power <= last; power += stride) ticks.push(10 ** power);
  return ticks.length > 1 ? ticks : linearTicks(low, high, most).filter(tick => tick > 0);
}

// From values to places: {place(value), ticks, text(tick)}. A logarithmic one starts above 0: what is not is put at its
// start.
function scale(low, high, from, to, logarithmic, most, least) {
  if (low === high) [low, high] = logarithmic ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  const value = logarithmic ? x => Math.log(Math.max(x, low)) : x => x;
  const [start, end] = [value(low), value(high)];
  const ticks = logarithmic ? powersOfTen(low, high, most) : linearTicks(low, high, most, least);
  const apart = Math.min(...ticks.slice(1).map((tick, i) => tick - ticks[i]));
  return {
    place: x => from + (to - from) * (value(x) - start) / (end - start),
    ticks,
    text: tick => Number.isFinite(apart) ? tickText(tick, apart) : compact(tick),
  };
}

function scales(lines, options, width) {
  const steps = lines.flatMap(line => line.steps);
  const lastStep = Math.max(1, ...steps);
  const x = options.logSteps
    ? scale(Math.min(1, lastStep), Math.max(lastStep, 10), MARGIN.left, width - MARGIN.right, true, 6, 1)
    : scale(0, lastStep, MARGIN.left, width - MARGIN.right, false, Math.max(2, Math.floor(width / 110)), 1);
  const values = finite(lines.flatMap(line => line.values));
  const positive = values.filter(each => each > 0);
  const logarithmic = Boolean(options.logValues) && positive.length > 0;
  const known = logarithmic ? positive : values;
  const [low, high] = options.range ?? (known.length > 0 ? [Math.min(...known), Math.max(...known)] : [0, 1]);
  const y = scale(low, high, HEIGHT - MARGIN.bottom, MARGIN.top, logarithmic, 5);
  return {x, y};
}

function path(line, {x, y}) {
  let text = "";
  let down = false;
  line.values.forEach((value, i) => {
    if (!Number.isFinite(value)) {
      down = false;
      return;
    }
    text += `${down ? "L" : "M"}${x.place(line.steps[i]).toFixed(1)} ${y.place(value).toFixed(1)}`;
    down = true;
  });
  return text;
}

// Values without a neighbour that a line could be drawn to.
function dots(line, {x, y}) {
  const there = i => Number.isFinite(line.values[i]);
  return line.values.flatMap((value, i) => there(i) && !there(i - 1) && !there(i + 1)
    ? [svg("circle", {class: `dot dot-${line.style}`, cx: x.place(line.steps[i]).toFixed(1), cy: y.place(value).toFixed(1), r: 3})] : []);
}

function axes({x, y}, width) {
  const parts = [];
  for (const tick of y.ticks) {
    const at = y.place(tick);
    parts.push(svg("line", {class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: at, y2: at}),
               svg("text", {class: "tick", x: MARGIN.left - 6, y: at + 4, "text-anchor": "end"}, y.text(tick)));
  }
  for (const tick of x.ticks) {
    const at = x.place(tick);
    parts.push(svg("line", {class: "grid", x1: at, x2: at, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom}),
               svg("text", {class: "tick", x: at, y: HEIGHT - MARGIN.bottom + 18, "text-anchor": "middle"}, x.text(tick)));
  }
  return parts;
}

function marks(markers, {x}, width) {
  return markers.flatMap(({name, step}, i) => {
    const at = x.place(step);
    const right = at > width - 90;
    return [svg("line", {class: "marker", x1: at, x2: at, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom}),
            svg("text", {class: "marker-name", x: at + (right ? -4 : 4), y: HEIGHT - MARGIN.bottom - 6 - 14 * i,
                         "text-anchor": right ? "end" : "start"}, name)];
  });
}

// The place of the point of `line` that is nearest to `step`.
function nearest(line, step) {
  let best = 0;
  line.steps.forEach((each, i) => {
    if (Math.abs(each - step) < Math.abs(line.steps[best] - step)) best = i;
  });
  return best;
}

// Shows the values at one step in `readout` as the pointer or the arrow keys choose it.
function addReading(picture, lines, shown, readout, width) {
  const cursor = svg("line", {class: "cursor", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden"});
  picture.append(cursor);
  const steps = [...new Set(lines.flatMap(line => line.steps))].sort((a, b) => a - b);
  let chosen = -1;
  const choose = index => {
    chosen = Math.min(Math.max(index, 0), steps.length - 1);
    const step = steps[chosen];
    const at = shown.x.place(step);
    cursor.setAttribute("x1", at);
    cursor.setAttribute("x2", at);
    cursor.setAttribute("visibility", "visible");
    readout.textContent = `step ${count(step)}: ` + lines.map(line => `${line.name} ${compact(line.values[nearest(line, step)])}`).join(", ");
  };
  picture.addEventListener("pointermove", event => {
    const at = (event.clientX - picture.getBoundingClientRect().left) * width / picture.getBoundingClientRect().width;
    let best = 0;
    steps.forEach((step, i) => {
      if (Math.abs(shown.x.place(step) - at) < Math.abs(shown.x.place(steps[best]) - at)) best = i;
    });
    choose(best);
  });
  picture.addEventListener("keydown", event => {
    const move = {ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20}[event.key];
    if (move !== undefined) choose(chosen < 0 ? (move > 0 ? 0 : steps.length - 1) : chosen + move);
    else if (event.key === "Home") choose(0);
    else if (event.key === "End") choose(steps.length - 1);
    else return;
    event.preventDefault();
  });
}

function legend(lines) {
  return element("span", {class: "legend"}, lines.map(line => element("span", {},
    svg("svg", {width: 22, height: 8, viewBox: "0 0 22 8", "aria-hidden": "true"},
        svg("line", {class: `line line-${line.style}`, x1: 1, x2: 21, y1: 4, y2: 4})), line.name)));
}

function summary(name, lines) {
  return `${name} over steps: ` + lines.map(line => {
    const values = finite(line.values);
    return values.length > 0 ? `${line.name} from ${compact(values[0])} to ${compact(values[values.length - 1])}` : line.name;
  }).join(", ") + ". Arrow keys read the values.";
}

// lines: [{name, style, steps, values}]; options: {logSteps, logValues, range: [low, high], markers: [{name, step}]}.
export function chart(name, lines, options) {
  const readout = element("span", {class: "readout", "aria-live": "polite"});
  const place = element("div", {class: "plot"});
  const figure = element("figure", {}, element("figcaption", {}, element("strong", {}, name), legend(lines), readout), place);
  const id = `chart-${name.replaceAll(/\W/g, "-").toLowerCase()}`;
  let drawn = 0;
  const draw = width => {
    if (Math.abs(width - drawn) < 2) return;
    drawn = width;
    const shown = scales(lines, options, width);
    const picture = svg("svg", {id, viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", tabindex: 0,
                                "aria-label": summary(name, lines)});
    picture.append(...axes(shown, width), ...marks(options.markers ?? [], shown, width));
    for (const line of lines) picture.append(svg("path", {class: `line line-${line.style}`, d: path(line, shown)}), ...dots(line, shown));
    addReading(picture, lines, shown, readout, width);
    place.replaceChildren(picture);
  };
  if (lines.length === 0) place.append(element("p", {class: "quiet"}, "This run has no such metric."));
  else new ResizeObserver(entries => draw(Math.max(240, Math.floor(entries[0].contentRect.width)))).observe(place);
  return figure;
}
