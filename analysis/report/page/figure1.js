// Figure 1, its points as a table, the runs behind a point, and its panels for each task.

function told(point) {
  const spread = point.error === null ? "" : ` ± ${point.error.toFixed(2)} (standard error)`;
  const ids = point.runs.slice(0, 3).map((run) => run.id).join(", ");
  const more = point.runs.length > 3 ? ` and ${point.runs.length - 3} more` : "";
  return [
    nameOf(point),
    `${scoreLabel()} ${point.score.toFixed(2)}${spread}`,
    `${megabytes(point.bytes)} MB, ${Math.round(point.bytes).toLocaleString("en")} bytes`,
    `${plural(point.tasks, "task")}, ${plural(point.seeds, "seed")}`,
    `${point.runs.length === 1 ? "run" : "runs"} ${ids}${more}`,
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
  for (const curve of groups(points, subset)) {
    const methods = methodsOf(curve[0]);
    frame.root.append(line(methods, curve.map((point) => [frame.x(point.bytes), frame.y(point.score)])));
    for (const point of curve) {
      const x = frame.x(point.bytes), y = frame.y(point.score);
      if (point.error) {
        const ends = { x1: x, x2: x, y1: frame.y(low(point)), y2: frame.y(high(point)), "aria-hidden": "true" };
        frame.root.append(svg("line", { class: `bar ${look(methods)}`, ...ends }));
      }
      shown.push({ mark: mark(methods, x, y, options.radius), x, y, lines: told(point), point });
    }
  }
  if (plain) {
    const name = `${data.models[plain.model].toUpperCase()}, ${methodsOf(plain).label}: ${plain.score.toFixed(1)}`;
    frame.root.append(note(name, frame.y(plain.score), frame.across, shown, options.radius));
  }
  return interactive(frame.root, shown, (chosen) => showRuns(chosen.point));
}

function drawFigure1() {
  const { points, lacking } = meanPoints(state.task);
  const plain = meanPoints(state.task, true).points.filter((point) => methodsOf(point).name === "none");
  const baseline = plain.reduce((one, other) => (one && one.bytes >= other.bytes ? one : other), null);
  show(box("figure1"), (width) => points.length === 0 ? nothing() : drawCurves(points, width, width < 560 ? 360 : 460, {
    title: "Mean score against size", x: `${data.sizes[state.size].label} (${data.unit})`, y: `Mean ${scoreLabel()}`, baseline,
    radius: 4.5,
  }));
  const bars = points.some((point) => point.error) ? " Bars: ±1 standard error over seeds." : "";
  const gaps = lacking.length
    ? ` Not drawn, as ${lacking.length === 1 ? "it lacks" : "they lack"} a chosen task: ${plural(lacking.length, "point")}`
      + ` (${lacking.slice(0, 3).join("; ")}${lacking.length > 3 ? "; …" : ""}).` : "";
  box("figure1-note").textContent = points.length === 0 ? gaps : `${plural(points.length, "point")}, each a mean over `
    + `${plural(state.task.size, "task")} and the chosen seeds.${bars}${gaps}`;
  const rows = points.map((point) => [nameOf(point), point.score.toFixed(2),
    point.error === null ? "–" : point.error.toFixed(2), megabytes(point.bytes), point.tasks, point.seeds]);
  box("figure1-table").replaceChildren(table(["model", scoreLabel(), "standard error", "MB", "tasks", "seeds"], rows));
}

function nothing() {
  const missing = Object.keys(state).find((key) => state[key].size === 0);
  return missing ? `Nothing to draw: no ${missing === "methods" ? "combination of methods" : missing} is chosen.`
    : "Nothing to draw: no model has a score on every chosen task. Choose fewer tasks.";
}

// A column of numbers stands right, as in sections.py.
function table(headings, rows) {
  const isNumber = (cell) => typeof cell === "number" || /^(–|−?[\d.,]+)$/.test(cell);
  const kinds = headings.map((_, place) => (rows.every((row) => isNumber(row[place])) ? { class: "number" } : {}));
  const head = headings.map((text, place) => node("th", { scope: "col", ...kinds[place] }, text));
  const lines = rows.map((row) => node("tr", {}, ...row.map((cell, place) =>
    (place ? node("td", kinds[place], String(cell)) : node("th", { scope: "row" }, String(cell))))));
  return node("table", {}, node("thead", {}, node("tr", {}, ...head)), node("tbody", {}, ...lines));
}

function showRuns(point) {
  const rows = point.runs.map((run) =>
    [taskLabel(run.task), run.seed, run[state.score].toFixed(2), megabytes(run[state.size]), run.id]);
  const close = node("button", { type: "button" }, "Close");
  const made = table(["task", "seed", scoreLabel(), "MB", "run id"], rows);
  close.addEventListener("click", () => box("figure1-runs").replaceChildren());
  box("figure1-runs").replaceChildren(
    node("div", { class: "title" }, node("h3", {}, `Runs behind ${nameOf(point)}`), close),
    node("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Runs behind the point" }, made));
  point.runs.forEach((run, place) => {
    if (!run.url || !/^https?:/.test(run.url)) return;
    made.tBodies[0].rows[place].lastChild.replaceChildren(node("a", { href: run.url, rel: "noreferrer" }, run.id));
  });
}

function drawTasks() {
  const panels = [...state.task].sort((a, b) => a - b)
    .map((task) => ({ task, points: meanPoints(new Set([task])).points })).filter(({ points }) => points.length);
  const host = box("tasks-charts");
  if (!panels.length) return host.replaceChildren(node("p", { class: "empty" }, nothing()));
  host.classList.toggle("wide", data.methods.length > 8);
  host.replaceChildren(...panels.map(() => node("div", { class: "panel" }, node("h3"), node("div"))));
  panels.forEach(({ task, points }, place) => {
    const [heading, inside] = host.children[place].children;
    const seeds = points.map((point) => point.seeds), most = Math.max(...seeds), least = Math.min(...seeds);
    const counted = node("small", {}, ` ${least === most ? plural(most, "seed") : `${least}–${most} seeds`}`);
    heading.append(taskLabel(task), counted);
    show(inside, (width) => drawCurves(points, width, 210, {
      title: `${taskLabel(task)}: score against size`, radius: 3, margin: { left: 34, bottom: 22, right: 6 },
    }));
  });
}
