// Figure 1, its points as a table, the runs behind a point, and its panels for each task.

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

function told(point) {
  const reach = point.reach === null ? "" : ` ± ${point.reach.toFixed(2)} (95 %)`;
  const gain = point.gain === null ? [] : [`${signed(point.gain)}${reach} to the uncompressed model, within seeds`];
  const ids = point.runs.slice(0, 3).map((run) => run.id).join(", ");
  const more = point.runs.length > 3 ? ` and ${point.runs.length - 3} more` : "";
  return [
    nameOf(point),
    `${scoreLabel()} ${point.score.toFixed(2)}`,
    ...gain,
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

// Scores of an axis, as in plotting.py: all that are no outliers, and bars as far as they do not flatten these.
function scoreDomain(points, bars) {
  const [low, high] = inside(points.map((point) => point.score));
  const kept = points.filter(({ score }) => score >= low && score <= high);
  const reach = (point) => (bars ? point.reach ?? 0 : 0), most = (high - low) / 2;
  const below = Math.min(most, low - Math.min(...kept.map((point) => point.score - reach(point))));
  const above = Math.min(most, Math.max(...kept.map((point) => point.score + reach(point))) - high);
  const whole = high - low + below + above || 1;
  const margins = [points.some(({ score }) => score < low), points.some(({ score }) => score > high)]
    .map((arrow) => (arrow ? 0.2 : 0.06) * whole);
  return [low - below - margins[0], high + above + margins[1]];
}

// An arrow over the edge of the axes, to a point beyond it: its mark just inside, its score beside it.
function outlier(root, frame, point, radius, place) {
  const up = point.score > frame.domain[1], inward = up ? 1 : -1, methods = methodsOf(point);
  const x = frame.x(point.bytes), edge = frame.down[up ? 1 : 0], y = edge + inward * (2 * radius + 9);
  const head = `M${x},${edge}l-3.2,${6 * inward}h6.4Z`;
  root.append(
    svg("line", { class: `bar ${look(methods)}`, x1: x, x2: x, y1: y, y2: edge + 5 * inward }),
    svg("path", { class: `arrowhead ${look(methods)}`, d: head }),
    svg("text", { class: "haloed", x: x + radius + 4, y: y + 4 + place * 13 * inward }, point.score.toFixed(1)));
  return { mark: mark(methods, x, y, radius * scaleOf(point)), x, y, lines: told(point), point };
}

let clips = 0;

// Points, each subset's curve, what all curves reach (shaded), outliers at the edge; bars at each point, or their median.
function drawCurves(points, width, height, options) {
  const plain = options.baseline, domain = scoreDomain(points, options.bars);
  const isInside = ({ score }) => score >= domain[0] && score <= domain[1];
  const outside = points.filter((point) => !isInside(point)).sort((a, b) => b.bytes - a.bytes);
  const frame = { domain, ...axes(width, height, {
    title: options.title, margin: { ...options.margin, ...(outside.length ? { right: 36 } : {}) }, // room for their scores
    x: { domain: spread(points.map((point) => point.bytes)), log: true, label: options.x, format: (v) => trimmed(v / 1e6) },
    y: { domain, label: options.y, room: options.y ? 44 : 32 },
  }) };
  const [left, right] = frame.across, [bottom, top] = frame.down, box = { x: left, y: top, width: right - left, height: bottom - top };
  const clip = `inside-${clips++}`, within = svg("g", { "clip-path": `url(#${clip})`, "aria-hidden": "true" });
  frame.root.append(svg("clipPath", { id: clip }, svg("rect", box)));
  const curves = groups(points, subset), common = commonScores(curves);
  if (common) {
    const [y1, y2] = common.map(frame.y);
    frame.root.prepend(svg("rect", { class: "zone common", ...box, y: y2, height: y1 - y2 }));
  }
  frame.root.append(within);
  const based = plain && isInside(plain);
  if (based) {
    const at = frame.y(plain.score);
    frame.root.append(svg("line", { class: "baseline", x1: left, x2: right, y1: at, y2: at }));
  }
  const shown = [];
  for (const curve of curves) {
    const methods = methodsOf(curve[0]);
    if (options.bars) within.append(...curve.filter((point) => point.reach).map((point) => {
      const x = frame.x(point.bytes), [y1, y2] = [-1, 1].map((sign) => frame.y(point.score + sign * point.reach));
      return svg("line", { class: `bar ${look(methods)}`, x1: x, x2: x, y1, y2 });
    }));
    const scores = fitted(curve);
    within.append(line(methods, curve.map((point, place) => [frame.x(point.bytes), frame.y(scores[place])])));
    for (const point of curve.filter(isInside)) {
      const x = frame.x(point.bytes), y = frame.y(point.score);
      shown.push({ mark: mark(methods, x, y, options.radius * scaleOf(point)), x, y, lines: told(point), point });
    }
  }
  shown.push(...outside.map((point, place) => outlier(frame.root, frame, point, options.radius, place)));
  const reaches = points.filter((point) => point.reach !== null).map((point) => point.reach).sort((a, b) => a - b);
  if (!options.bars && reaches.length) within.append(medianBar(frame, reaches));
  if (based) {
    const name = `${data.models[plain.model].toUpperCase()}, ${methodsOf(plain).label}: ${plain.score.toFixed(1)}`;
    frame.root.append(note(name, frame.y(plain.score), frame.across, shown, options.radius));
  }
  return interactive(frame.root, shown, (chosen) => showRuns(chosen.point));
}

// At the left, in the middle: the median interval.
function medianBar(frame, reaches) {
  const half = Math.floor(reaches.length / 2), x = frame.across[0] + 6;
  const reach = reaches.length % 2 ? reaches[half] : (reaches[half - 1] + reaches[half]) / 2;
  const middle = (frame.domain[0] + frame.domain[1]) / 2, [low, high] = [middle - reach, middle + reach].map(frame.y);
  return svg("path", { class: "median", d: `M${x - 3},${low}h6m-3,0V${high}m-3,0h6` });
}

function beyondAxis(points) {
  const [low, high] = scoreDomain(points, true), within = points.filter(({ score }) => score >= low && score <= high);
  const cut = within.some(({ score, reach }) => reach !== null && (score - reach < low || score + reach > high));
  return cut ? "; those that end at the frame go on beyond it" : "";
}

function drawFigure1() {
  const { points, lacking } = meanPoints(state.task);
  const plain = meanPoints(state.task, true).points.filter((point) => methodsOf(point).name === "none");
  const baseline = plain.reduce((one, other) => (one && one.bytes >= other.bytes ? one : other), null);
  show(box("figure1"), (width) => points.length === 0 ? nothing() : drawCurves(points, width, width < 560 ? 360 : 460, {
    title: "Mean score against size", x: `${data.sizes[state.size].label} (${data.unit})`, y: `Mean ${scoreLabel()}`, baseline,
    radius: 4.5, bars: true,
  }));
  const [low, high] = points.length ? inside(points.map((point) => point.score)) : [];
  const bars = points.some((point) => point.reach) ? " Bars: 95 % interval of a model's gain over the uncompressed one"
    + ` of its size and seeds (differences within seeds, a t distribution)${beyondAxis(points)}.` : "";
  const beyond = points.filter(({ score }) => score < low || score > high)
    .map((point) => `${nameOf(point)}: ${point.score.toFixed(1)}`);
  const arrows = beyond.length ? ` Arrows: scores beyond the axis (${beyond.join("; ")}).` : "";
  const without = data.tasks.length - state.task.size, of = without ? ` of ${data.tasks.length}` : "";
  const unchosen = without && without === data.tasks.length - data.chosen_tasks.length
    ? " Over more tasks, fewer models and compressions could be compared." : "";
  const gaps = lacking.length
    ? ` Not drawn, as ${lacking.length === 1 ? "it lacks" : "they lack"} a chosen task: ${plural(lacking.length, "point")}`
      + ` (${lacking.slice(0, 3).join("; ")}${lacking.length > 3 ? "; …" : ""}).` : "";
  box("figure1-note").textContent = points.length === 0 ? gaps : `${plural(points.length, "point")}, each a mean over `
    + `${state.task.size}${of} ${data.tasks.length === 1 ? "task" : "tasks"} and the chosen seeds.${unchosen}`
    + ` Lines: isotonic regression, the nondecreasing function of log size that is nearest to the points.${bars}${arrows}${gaps}`;
  const rows = points.map((point) => [nameOf(point), point.score.toFixed(2),
    point.gain === null ? "–" : signed(point.gain), point.reach === null ? "–" : point.reach.toFixed(2),
    megabytes(point.bytes), point.tasks, point.seeds]);
  box("figure1-table").replaceChildren(table(["model", scoreLabel(), "gain", "± (95 %)", "MB", "tasks", "seeds"], rows));
}

function nothing() {
  const missing = Object.keys(state).find((key) => state[key].size === 0);
  return missing ? `Nothing to draw: no ${missing === "methods" ? "combination of methods" : missing} is chosen.`
    : "Nothing to draw: no model has a score on every chosen task. Choose fewer tasks.";
}

// A column of numbers stands right, as in sections.py.
function table(headings, rows) {
  const isNumber = (cell) => typeof cell === "number" || /^(–|[+−]?[\d.,]+)$/.test(cell);
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
      title: `${taskLabel(task)}: score against size`, radius: 3.2, margin: { left: 34, bottom: 22, right: 12 },
    }));
  });
}
