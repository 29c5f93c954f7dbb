// One run: what is known of it, and its curves.
import {badge, element, facts, link, table} from "./elements.js";
import {accuracy, count, duration, NOTHING, parameter, time, toNumber, words} from "./format.js";
import {chart} from "./chart.js";
import {get} from "./data.js";

const POINTS = 800;
const SHOWN = ["train_accuracy", "test_accuracy", "train_loss", "test_loss"];
// How this person looks at curves; kept while pages change.
const choice = {logSteps: false, metric: ""};

export const title = path => `Run ${path[0]}`;

export async function load([run], signal) {
  const [detail, curve] = await Promise.all([
    get(["runs", run], {}, signal), get(["runs", run, "curve"], {points: POINTS}, signal)]);
  return {detail, curve};
}

function lines(curve, names) {
  return names.map((name, i) => {
    const series = curve.series.find(each => each.metric === name);
    return series && {name: words(name), style: i, steps: series.steps, values: series.values.map(toNumber)};
  }).filter(line => line);
}

// The first step at 99 % accuracy: of the result, or of the curve while there is none.
export function reached(detail, curve, stored, metric) {
  if (detail.state !== "running" || typeof stored === "number") return stored;
  const series = curve.series.find(each => each.metric === metric);
  const first = series ? series.values.findIndex(value => toNumber(value) >= 0.99) : -1;
  return first < 0 ? null : series.steps[first];
}

// Where the first value is that is no number. A curve has those that are infinite; a result knows of the others too.
export function nonFinite(detail, curve) {
  if (typeof detail.first_nonfinite_step === "number") return detail.first_nonfinite_step;
  const steps = curve.series.map(series => series.steps[series.values.findIndex(value => typeof value === "string")]);
  return Math.min(...steps.filter(step => step !== undefined), Infinity);
}

function markers({detail, curve}) {
  return [["T_train", reached(detail, curve, detail.t_train_99, "train_accuracy")],
          ["T_grok", reached(detail, curve, detail.t_test_99, "test_accuracy")], ["not finite", nonFinite(detail, curve)]]
    .filter(([, step]) => Number.isFinite(step)).map(([name, step]) => ({name, step}));
}

// Redraws the curves alone.
function drawCurves(place, {detail, curve}) {
  const redraw = () => drawCurves(place, {detail, curve});
  const others = curve.series.map(series => series.metric).filter(name => !SHOWN.includes(name));
  const logSteps = element("input", {type: "checkbox", id: "log-steps", onchange: event => {
    choice.logSteps = event.target.checked;
    redraw();
  }});
  logSteps.checked = choice.logSteps;
  const select = element("select", {id: "metric", onchange: event => {
    choice.metric = event.target.value;
    redraw();
  }}, element("option", {value: ""}, "none"), others.map(name => element("option", {value: name}, words(name))));
  select.value = others.includes(choice.metric) ? choice.metric : "";
  const options = {logSteps: choice.logSteps, markers: markers({detail, curve})};
  const focused = document.activeElement?.id;
  place.replaceChildren(
    element("div", {class: "controls"},
      element("label", {}, logSteps, " logarithmic steps"),
      others.length > 0 ? element("label", {}, "further metric ", select) : ""),
    chart("Accuracy", lines(curve, ["train_accuracy", "test_accuracy"]), {...options, range: [0, 1]}),
    chart("Loss", lines(curve, ["train_loss", "test_loss"]), {...options, logValues: true}),
    select.value ? chart(words(select.value), lines(curve, [select.value]), options) : "");
  if (focused && place.querySelector(`#${CSS.escape(focused)}`)) place.querySelector(`#${CSS.escape(focused)}`).focus();
}

function attempts(detail) {
  return table("Attempts", [
    {title: "Attempt", cell: attempt => count(attempt.attempt)},
    {title: "Worker", cell: attempt => attempt.worker},
    {title: "Host", cell: attempt => attempt.host},
    {title: "Ended as", cell: attempt => attempt.ended_as ? words(attempt.ended_as) : "running"},
    {title: "From step", number: true, cell: attempt => count(attempt.resume_step)},
    {title: "To step", number: true, cell: attempt => count(attempt.last_step)},
    {title: "Started", cell: attempt => time(attempt.started_at)},
    {title: "Reason", cell: attempt => attempt.reason ?? NOTHING},
  ], detail.attempt_list);
}

export function render(data) {
  const {detail, curve} = data;
  const curves = element("section", {"aria-label": "Curves"});
  if (curve.rows > 0) drawCurves(curves, data);
  else curves.append(element("p", {class: "quiet"}, "No metrics yet."));
  const varied = Object.entries(detail.varied ?? {});
  const tTrain = reached(detail, curve, detail.t_train_99, "train_accuracy");
  const tGrok = reached(detail, curve, detail.t_test_99, "test_accuracy");
  const broken = nonFinite(detail, curve);
  return [
    element("p", {class: "crumbs"}, link([], "Sweeps"), " / ", link(["sweeps", detail.sweep], detail.sweep), " / ",
            link(["sweeps", detail.sweep, detail.configuration_id], `configuration ${detail.configuration_id}`)),
    element("h1", {}, `Run ${detail.run_id} `, badge(detail.state), " ", detail.outcome ? badge(detail.outcome) : ""),
    facts([
      ...varied.map(([name, value]) => [name, parameter(value)]),
      ["Seed", count(detail.seed)],
      ["Step", count(detail.last_step)],
      ["T_train", count(tTrain)],
      ["T_grok", count(tGrok)],
      ["Delay", count(detail.delay)],
      Number.isFinite(broken) ? ["First value that is not finite", `step ${count(broken)}`] : null,
      ["Test accuracy", accuracy(detail.final_test_accuracy)],
      ["Time", duration(detail.wall_seconds)],
      detail.reason ? ["Ended by", detail.reason] : null,
    ]),
    curves,
    detail.attempt_list.length > 0 ? attempts(detail) : null,
    element("details", {id: "specification"}, element("summary", {}, "Specification"),
            element("pre", {}, JSON.stringify(detail.specification, null, 2))),
  ];
}
