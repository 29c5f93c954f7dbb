// Builds elements. Whatever comes from the database becomes text or an attribute's value, never markup.
import {count} from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined) node.append(child);
  }
  return node;
}

export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// `to` is a list of the path's parts; each may hold anything.
export function link(to, text, attributes = {}) {
  return element("a", {href: "#/" + to.map(part => encodeURIComponent(part)).join("/"), ...attributes}, text);
}

// columns: [{title, cell(row) → node or text, number?, label?}]. On narrow screens each row becomes a card, whose lines
// carry the titles.
export function table(caption, columns, rows) {
  const head = element("tr", {}, columns.map(column =>
    element("th", {scope: "col", class: column.number ? "number" : null}, column.title)));
  const body = rows.map(row => element("tr", {}, columns.map(column =>
    element("td", {"data-title": column.label ?? column.title, class: column.number ? "number" : null}, column.cell(row)))));
  return element("div", {class: "scroll"}, element("table", {},
    element("caption", {}, caption), element("thead", {}, head), element("tbody", {}, body)));
}

const STATES = ["finished", "running", "failed", "cancelled", "queued"];

// How far a set of runs is: a bar with one part a state, and the same in words.
export function progress(runs) {
  const done = runs.finished + runs.failed + runs.cancelled;
  const said = STATES.filter(state => runs[state] > 0).map(state => `${count(runs[state])} ${state}`).join(", ");
  const bar = svg("svg", {class: "progress", viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img",
                          "aria-label": said || "no runs"});
  bar.append(svg("title", {}, said || "no runs"));
  let x = 0;
  for (const state of STATES) {
    const width = runs.total > 0 ? 100 * runs[state] / runs.total : 0;
    if (width > 0) bar.append(svg("rect", {class: `fill-${state}`, x, y: 0, width, height: 8}));
    x += width;
  }
  return element("span", {class: "progress-line"}, bar, element("span", {class: "figures"}, `${count(done)}/${count(runs.total)}`));
}

export function badge(name) {
  return element("span", {class: `badge is-${name}`}, name.replaceAll("_", " "));
}

export function facts(pairs) {
  return element("dl", {}, pairs.filter(pair => pair).map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}
