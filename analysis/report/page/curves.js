// The data, figure 1 and its panels for each task, and the filters over both.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const box = (id) => document.getElementById(id);
const runs = data.runs.id.map((id, place) => ({
  id, place,
  task: data.runs.task[place], model: data.runs.model[place], methods: data.runs.methods[place],
  sparsity: data.runs.sparsity[place], seed: data.runs.seed[place],
  glue: data.runs.glue[place], accuracy: data.runs.accuracy[place],
  nominal: data.runs.nominal[place], artifact: data.runs.artifact[place], url: data.runs.url[place],
}));
const distinct = (key) => [...new Set(runs.map((run) => run[key]))].sort((a, b) => a - b);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const SCORE = { glue: "GLUE score", accuracy: "accuracy-style score" };
const SIZE = { nominal: "Model size (MB, log scale)", artifact: "File size (MB, log scale)" };

const state = {
  score: data.score,
  size: data.size,
  task: new Set(data.tasks.flatMap((task, place) => (data.chosen_tasks.includes(task.name) ? [place] : []))),
  methods: new Set(data.methods.keys()),
  model: new Set(data.models.keys()),
  sparsity: new Set(distinct("sparsity")),
  seed: new Set(distinct("seed")),
};

function cellName(run) {
  const pruned = run.sparsity ? ` ${trimmed(100 * run.sparsity)} %` : "";
  return `${data.models[run.model]}, ${data.methods[run.methods].label}${pruned}`;
}

// --- points ---------------------------------------------------------------------------------------------------------

function groups(list, key) {
  const grouped = new Map();
  for (const item of list) grouped.has(key(item)) ? grouped.get(key(item)).push(item) : grouped.set(key(item), [item]);
  return [...grouped.values()];
}

// Mean over tasks of the mean over seeds, as in curves.py: only cells with every one of the tasks.
function meanPoints(tasks, wide = false) {
  const kept = runs.filter((run) => tasks.has(run.task) && state.seed.has(run.seed) && run[state.score] !== null
    && (wide || (state.methods.has(run.methods) && state.model.has(run.model) && state.sparsity.has(run.sparsity))));
  const points = [], lacking = [];
  for (const cell of groups(kept, (run) => `${run.model} ${run.methods} ${run.sparsity}`)) {
    const byTask = groups(cell, (run) => run.task);
    if (byTask.length < tasks.size) {
      lacking.push(cellName(cell[0]));
      continue;
    }
    const variances = byTask.map((own) => {
      const middle = mean(own.map((run) => run[state.score]));
      return own.reduce((sum, run) => sum + (run[state.score] - middle) ** 2, 0) / (own.length - 1) / own.length;
    });
    const sum = variances.reduce((total, variance) => total + variance, 0);
    points.push({
      cell, ...cell[0], tasks: byTask.length,
      seeds: Math.min(...byTask.map((own) => own.length)),
      score: mean(byTask.map((own) => mean(own.map((run) => run[state.score])))),
      bytes: mean(byTask.map((own) => mean(own.map((run) => run[state.size])))),
      error: byTask.every((own) => own.length > 1) ? Math.sqrt(sum) / byTask.length : null,
    });
  }
  points.sort((a, b) => a.methods - b.methods || a.bytes - b.bytes);
  return { points, lacking };
}

function told(point) {
  const spread = point.error === null ? "" : ` ± ${point.error.toFixed(2)} (standard error)`;
  const ids = point.cell.slice(0, 3).map((run) => run.id).join(", ");
  const more = point.cell.length > 3 ? ` and ${point.cell.length - 3} more` : "";
  return [
    cellName(point),
    `${SCORE[state.score]} ${point.score.toFixed(2)}${spread}`,
    `${megabytes(point.bytes)} MB, ${Math.round(point.bytes).toLocaleString("en")} bytes`,
    `${plural(point.tasks, "task")}, ${plural(point.seeds, "seed")}`,
    `${point.cell.length === 1 ? "run" : "runs"} ${ids}${more}`,
  ];
}

// Words on a level line, at that of its ends, above or below, where they cover the fewest points.
function note(words, level, [left, right], points, radius) {
  const wide = 6.5 * words.length, room = 1.5 * radius;
  const ends = [level - 5, level + 15].flatMap((y) => [
    { from: left + 5, y, at: { x: left + 5 } }, { from: right - 5 - wide, y, at: { x: right - 5, "text-anchor": "end" } },
  ]);
  const covered = (end) => points.filter(({ x, y }) =>
    x > end.from - room && x < end.from + wide + room && y > end.y - 10 - room && y < end.y + room).length;
  const [{ y, at }] = ends.sort((one, other) => covered(one) - covered(other));
  return svg("text", { class: "note haloed", y, ...at }, words);
}

function drawCurves(points, width, height, options) {
  const low = (point) => point.score - (point.error ?? 0), high = (point) => point.score + (point.error ?? 0);
  const plain = options.baseline;
  const reached = [...points.map(low), ...points.map(high), ...(plain ? [plain.score] : [])];
  const frame = axes(width, height, {
    title: options.title, margin: options.margin,
    x: { domain: spread(points.map((point) => point.bytes)), log: true, label: options.x, format: (v) => trimmed(v / 1e6) },
    y: { domain: padded(reached), label: options.y, room: options.y ? 44 : 32 },
  });
  if (plain) {
    const at = frame.y(plain.score);
    frame.root.append(svg("line", { class: "baseline", x1: frame.across[0], x2: frame.across[1], y1: at, y2: at }));
  }
  const shown = [];
  for (const curve of groups(points, (point) => point.methods)) {
    const methods = data.methods[curve[0].methods];
    frame.root.append(line(methods, curve.map((point) => [frame.x(point.bytes), frame.y(point.score)])));
    for (const point of curve) {
      const x = frame.x(point.bytes), y = frame.y(point.score);
      if (point.error) {
        const ends = { x1: x, x2: x, y1: frame.y(low(point)), y2: frame.y(high(point)), "aria-hidden": "true" };
        frame.root.append(svg("line", { class: `bar ${hue(methods)}`, ...ends }));
      }
      shown.push({ mark: mark(methods, x, y, options.radius), x, y, lines: told(point), point });
    }
  }
  if (plain) {
    const name = `${data.models[plain.model].toUpperCase()}, uncompressed: ${plain.score.toFixed(1)}`;
    frame.root.append(note(name, frame.y(plain.score), frame.across, shown, options.radius));
  }
  frame.root.append(...shown.map(({ mark }) => mark));
  interactive(frame.root, shown, (chosen) => showRuns(chosen.point));
  return frame.root;
}

// --- figure 1 and the tasks -------------------------------------------------------------------------------------------

function drawFigure1() {
  const { points, lacking } = meanPoints(state.task);
  const plain = meanPoints(state.task, true).points.filter((point) => data.methods[point.methods].name === "none");
  const baseline = plain.reduce((one, other) => (one && one.bytes >= other.bytes ? one : other), null);
  show(box("figure1"), (width) => points.length === 0 ? nothing() : drawCurves(points, width, width < 560 ? 360 : 460, {
    title: "Mean score against size", x: SIZE[state.size], y: `Mean ${SCORE[state.score]}`, baseline, radius: 4.5,
  }));
  const bars = points.some((point) => point.error) ? " Bars: ±1 standard error over seeds." : "";
  const gaps = lacking.length
    ? ` Not drawn, as ${lacking.length === 1 ? "it lacks" : "they lack"} a chosen task: ${plural(lacking.length, "cell")}`
      + ` (${lacking.slice(0, 3).join("; ")}${lacking.length > 3 ? "; …" : ""}).` : "";
  box("figure1-note").textContent = points.length === 0 ? gaps : `${plural(points.length, "point")}, each a mean over `
    + `${plural(state.task.size, "task")} and the chosen seeds.${bars}${gaps}`;
  box("figure1-table").replaceChildren(pointsTable(points));
}

function nothing() {
  const empty = { task: "task", methods: "combination of methods", model: "model", seed: "seed", sparsity: "sparsity" };
  const missing = Object.keys(empty).find((key) => state[key].size === 0);
  return missing ? `Nothing to draw: no ${empty[missing]} is chosen.`
    : "Nothing to draw: no cell has a score on every chosen task. Choose fewer tasks.";
}

// A column of numbers stands right, as in markup.py.
function table(headings, rows) {
  const isNumber = (cell) => typeof cell === "number" || /^(–|−?[\d.,]+)$/.test(cell);
  const kinds = headings.map((_, place) => (rows.every((row) => isNumber(row[place])) ? { class: "number" } : {}));
  const head = headings.map((text, place) => node("th", { scope: "col", ...kinds[place] }, text));
  const lines = rows.map((row) => node("tr", {}, ...row.map((cell, place) =>
    (place ? node("td", kinds[place], String(cell)) : node("th", { scope: "row" }, String(cell))))));
  return node("table", {}, node("thead", {}, node("tr", {}, ...head)), node("tbody", {}, ...lines));
}

function pointsTable(points) {
  return table(["cell", SCORE[state.score], "standard error", "MB", "tasks", "seeds"], points.map((point) => [
    cellName(point), point.score.toFixed(2), point.error === null ? "–" : point.error.toFixed(2),
    megabytes(point.bytes), point.tasks, point.seeds,
  ]));
}

function showRuns(point) {
  const rows = point.cell.map((run) => [
    data.tasks[run.task].label, run.seed, run[state.score].toFixed(2), megabytes(run[state.size]), run.id,
  ]);
  const close = node("button", { type: "button" }, "Close");
  const made = table(["task", "seed", SCORE[state.score], "MB", "run id"], rows);
  close.addEventListener("click", () => box("figure1-runs").replaceChildren());
  box("figure1-runs").replaceChildren(
    node("div", { class: "title" }, node("h3", {}, `Runs behind ${cellName(point)}`), close),
    node("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Runs behind the point" }, made));
  point.cell.forEach((run, place) => {
    if (!run.url || !/^https?:/.test(run.url)) return;
    const cell = made.tBodies[0].rows[place].lastChild;
    cell.replaceChildren(node("a", { href: run.url, rel: "noreferrer" }, run.id));
  });
}

function drawTasks() {
  const panels = [...state.task].sort((a, b) => a - b).flatMap((task) => {
    const { points } = meanPoints(new Set([task]));
    return points.length ? [{ task, points }] : [];
  });
  const host = box("tasks-charts");
  if (!panels.length) return host.replaceChildren(node("p", { class: "empty" }, nothing()));
  host.replaceChildren(...panels.map(() => node("div", { class: "panel" }, node("h3"), node("div"))));
  panels.forEach(({ task, points }, place) => {
    const [heading, inside] = host.children[place].children;
    const most = Math.max(...points.map((point) => point.seeds)), least = Math.min(...points.map((point) => point.seeds));
    heading.textContent = data.tasks[task].label;
    heading.append(node("small", {}, ` ${least === most ? plural(most, "seed") : `${least}–${most} seeds`}`));
    show(inside, (width) => drawCurves(points, width, 210, {
      title: `${data.tasks[task].label}: score against size`, radius: 3, margin: { left: 34, bottom: 22, right: 6 },
    }));
  });
}

// --- filters --------------------------------------------------------------------------------------------------------

function swatch(methods) {
  const root = svg("svg", { width: 34, height: 14, "aria-hidden": "true" });
  root.append(line(methods, [[1, 7], [33, 7]]), mark(methods, 17, 7, 4));
  return root;
}

function fieldset(host, legend, ...inside) {
  host.append(node("fieldset", {}, node("legend", {}, legend), node("div", {}, ...inside)));
}

function chip(type, name, value, checked, changed, ...label) {
  const input = node("input", { type, name, value });
  input.checked = checked;
  input.addEventListener("change", () => {
    changed(input.checked);
    redraw();
  });
  return node("label", { class: "chip" }, input, ...label);
}

// A set of values, each on or off.
function several(host, legend, key, entries) {
  const turn = (value, on) => state[key][on ? "add" : "delete"](value);
  const made = entries.map(([value, ...label]) =>
    chip("checkbox", key, value, state[key].has(value), (on) => turn(value, on), ...label));
  const all = node("button", { type: "button", class: "all", "aria-label": `${legend}: all or none` }, "all / none");
  all.addEventListener("click", () => {
    const inputs = made.map((label) => label.querySelector("input"));
    const on = !inputs.every((input) => input.checked);
    for (const input of inputs) input.checked = on;
    for (const [value] of entries) turn(value, on);
    redraw();
  });
  fieldset(host, legend, ...made, ...(made.length > 2 ? [all] : []));
}

function one(host, legend, key, entries) {
  const choose = (value) => () => { state[key] = value; };
  const made = entries.map(([value, label]) => chip("radio", key, value, state[key] === value, choose(value), label));
  fieldset(host, legend, ...made);
}

const redrawn = []; // what else shows the chosen score or bytes

function redraw() {
  tip.hidden = true;
  box("figure1-runs").replaceChildren();
  drawFigure1();
  drawTasks();
  for (const draw of redrawn) draw();
}

function buildFilters() {
  several(box("legend"), "Methods", "methods", data.methods.map((methods, place) => [place, swatch(methods), methods.label]));
  const host = box("filters"), sparsities = distinct("sparsity").filter((sparsity) => sparsity > 0);
  several(host, "Tasks", "task", data.tasks.map((task, place) => [place, task.label]));
  several(host, "Models", "model", data.models.map((model, place) => [place, model]));
  if (sparsities.length > 1)
    several(host, "Sparsity", "sparsity", sparsities.map((sparsity) => [sparsity, `${trimmed(100 * sparsity)} %`]));
  if (state.seed.size > 1) several(host, "Seeds", "seed", distinct("seed").map((seed) => [seed, String(seed)]));
  one(host, "Score", "score", [["glue", "GLUE"], ["accuracy", "accuracy-style"]]);
  one(host, "Bytes", "size", [["nominal", "nominal"], ["artifact", "file on disk"]]);
  host.parentElement.open = innerWidth > 620;
}
