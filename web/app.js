// Shows the page that the address names, and asks for its data again every few seconds while somebody looks.
import {element} from "./elements.js";
import {get, Refused} from "./data.js";
import {keepPlace, takePlace} from "./place.js";
import * as configuration from "./configuration.js";
import * as overview from "./overview.js";
import * as run from "./run.js";
import * as runs from "./runs.js";
import * as sweep from "./sweep.js";
import * as workers from "./workers.js";

const REFRESH_MILLISECONDS = 3000;
// What takes the coordinator long is asked for less often: it has runs to look after.
const REST_PER_WORK = 5;
const PAGES = {"": overview, sweeps: sweep, runs: run, workers};

const main = document.getElementById("main");
const connection = document.getElementById("connection");
const trouble = document.getElementById("trouble");

let current = null;  // what is shown: {page, path, abort, shown (as text), timer}

function parse(hash) {
  const parts = hash.replace(/^#\/?/, "").split("/").filter(part => part !== "").map(part => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  const [name = "", ...path] = parts;
  if (name === "sweeps" && path.length === 0) return {page: overview, path};
  if (name === "sweeps" && path.length === 2) return {page: configuration, path};
  if (name === "runs" && (path.length === 0 || !/^\d+$/.test(path[0]))) return {page: runs, path};
  return {page: Object.hasOwn(PAGES, name) ? PAGES[name] : null, path};
}

// Exchanges the content, and leaves focus, open parts and place where they were.
function show(nodes) {
  const focused = document.activeElement?.id;
  const open = new Set([...main.querySelectorAll("details[open]")].map(each => each.id));
  main.replaceChildren(...nodes.flat().filter(node => node !== null && node !== undefined));
  for (const each of main.querySelectorAll("details")) each.open = open.has(each.id);
  if (focused && focused !== "main") document.getElementById(focused)?.focus({preventScroll: true});
}

function showTrouble(server) {
  const text = server.degraded ? `The coordinator cannot write its database, and tries again: ${server.degraded_reason}`
    : server.metrics_held ? "The coordinator's disk is nearly full: results wait until there is room." : "";
  trouble.hidden = text === "";
  trouble.textContent = text;
}

function showProblem(error, view) {
  if (error instanceof Refused && error.status === 401) {
    keepPlace(location.hash);
    show([element("h1", {}, "Signed out"), element("p", {}, "The token that opened this page was revoked, or the coordinator was restarted."),
          element("p", {}, element("a", {href: "/"}, "Sign in"))]);
    connection.textContent = "signed out";
    return false;
  }
  if (error instanceof Refused && error.status === 404) {
    show([element("h1", {}, "Not there"), element("p", {}, error.message), element("p", {}, element("a", {href: "#/"}, "All sweeps"))]);
    return false;
  }
  connection.textContent = error instanceof Refused ? error.message : "the coordinator does not answer; trying again";
  if (view.shown === null) show([element("p", {class: "quiet"}, "Waiting for the coordinator…")]);
  return true;
}

async function refresh(view) {
  let goesOn = true;
  const began = performance.now();
  try {
    const [server, data] = await Promise.all([get(["server"], {}, view.abort.signal), view.page.load(view.path, view.abort.signal)]);
    if (view !== current) return;
    showTrouble(server);
    connection.textContent = "";
    const text = JSON.stringify(data);
    // What did not change is left alone, with the selection and the reading that somebody has in it.
    if (text !== view.shown) {
      show([view.page.render(data)]);
      view.shown = text;
    }
  } catch (error) {
    if (view !== current) return;
    if (!(error instanceof Refused) && !(error instanceof TypeError)) console.error(error);
    goesOn = showProblem(error, view);
  }
  const pause = Math.max(REFRESH_MILLISECONDS, REST_PER_WORK * (performance.now() - began));
  if (goesOn && !document.hidden) view.timer = setTimeout(() => refresh(view), pause);
}

function navigate() {
  const {page, path} = parse(location.hash);
  if (current) {
    current.abort.abort();
    clearTimeout(current.timer);
  }
  current = null;
  for (const [id, pages] of [["to-sweeps", [overview, sweep, configuration, runs, run]], ["to-workers", [workers]]]) {
    const link = document.getElementById(id);
    if (pages.includes(page)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (page === null) {
    show([element("h1", {}, "Not there"), element("p", {}, element("a", {href: "#/"}, "All sweeps"))]);
    return;
  }
  document.title = `${page.title(path)} – Seedbed`;
  current = {page, path, abort: new AbortController(), shown: null, timer: 0};
  window.scrollTo(0, 0);
  refresh(current);
}

window.addEventListener("hashchange", () => {
  main.focus({preventScroll: true});
  navigate();
});
document.addEventListener("visibilitychange", () => {
  if (!current) return;
  clearTimeout(current.timer);
  if (!document.hidden) refresh(current);
});
document.getElementById("skip").addEventListener("click", event => {
  event.preventDefault();
  main.focus();
});
const place = takePlace();
if (location.hash === "" && place !== "") history.replaceState(null, "", place);
navigate();
