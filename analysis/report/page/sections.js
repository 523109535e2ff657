// The sections below figure 1, light and dark, and what happens when the page is opened.
"use strict";

// --- interactions -----------------------------------------------------------------------------------------------------

const RATIOS = [0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3, 5, 10];

function drawInteractions() {
  const rows = (data.interactions ?? []).filter((row) => row.estimate !== null);
  if (!box("interactions-chart") || !rows.length) return;
  const names = [...new Set(rows.map((row) => row.label))];
  const [low, high] = padded(rows.flatMap((row) => [row.low ?? row.estimate, row.high ?? row.estimate, -0.2, 0.2]));
  const ticks = RATIOS.filter((ratio) => Math.log(ratio) > low && Math.log(ratio) < high);
  show(box("interactions-chart"), (width) => {
    const slim = width < 560, step = slim ? 58 : 44, left = slim ? 12 : 190, height = names.length * step + 62;
    const frame = axes(width, height, {
      title: "Observed over expected size reduction of each combination, with its 95 % interval", margin: { left, top: 20 },
      x: { domain: [low, high].map(Math.exp), log: true, ticks, label: "observed / expected size reduction (log scale)" },
      y: { domain: [0, 1], format: () => "" },
    });
    frame.root.querySelectorAll(".grid line:not(.axis)").forEach((drawn) => drawn.getAttribute("y1") === drawn.getAttribute("y2") && drawn.remove());
    const zone = [1 / 1.1, 1.1].map(frame.x), x = (log) => frame.x(Math.exp(log));
    const top = frame.down[1], bottom = frame.down[0];
    frame.root.append(
      svg("rect", { class: "zone", x: zone[0], width: zone[1] - zone[0], y: top, height: bottom - top }),
      svg("line", { class: "baseline", x1: x(0), x2: x(0), y1: top, y2: bottom }),
      svg("text", { class: "note", x: x(0), y: top - 6, "text-anchor": "middle" }, "multiplicative within 10 %"));
    const shown = rows.map((row) => {
      const middle = top + (names.indexOf(row.label) + 0.5) * step;
      const y = middle + (slim ? 8 : 0) + (row.size === "nominal" ? -7 : 7), at = x(row.estimate);
      if (row.size === "nominal" || !rows.some((other) => other.label === row.label && other.size === "nominal"))
        frame.root.append(svg("text", slim ? { class: "row", x: left, y: middle - 14 }
          : { class: "row", x: left - 12, y: middle + 4, "text-anchor": "end" }, row.label));
      if (row.low !== null)
        frame.root.append(svg("line", { class: `interval ${row.size} ${row.by}`, x1: x(row.low), x2: x(row.high), y1: y, y2: y }));
      const dot = svg("circle", { class: `mark interval ${row.size}`, cx: at, cy: y, r: 4.5 });
      return { mark: dot, x: at, y, lines: row.lines };
    });
    frame.root.append(...shown.map(({ mark }) => mark));
    interactive(frame.root, shown);
    return frame.root;
  });
}

// --- sizes ----------------------------------------------------------------------------------------------------------

const PARTS = ["embeddings", "encoder", "head", "rest"];

function drawSizes() {
  const host = box("sizes-charts");
  if (!host) return;
  const names = [...new Set(data.sizes.map((row) => row.name))];
  for (const model of data.models) {
    const own = data.sizes.filter((row) => row.model === model);
    if (!own.length) continue;
    const inside = node("div");
    host.append(node("div", { class: "panel" }, node("h3", {}, model), inside));
    show(inside, (width) => {
      const root = svg("svg", { width, height: 27 * names.length, role: "group", "aria-label": `Bytes of ${model}` });
      const left = 140, right = 64;
      const scale = linear([0, Math.max(...data.sizes.map((row) => row.artifact / row.whole))], [0, width - left - right]);
      names.forEach((name, place) => {
        const row = own.find((other) => other.name === name), y = 27 * place;
        root.append(svg("text", { class: "row small", x: left - 8, y: y + 17, "text-anchor": "end" }, name));
        if (!row) return root.append(svg("text", { class: "note", x: left, y: y + 17 }, "not run"));
        let at = left;
        for (const part of PARTS) {
          const long = scale(row[part] / row.whole);
          root.append(svg("rect", { class: `part ${part}`, x: at, y: y + 4, width: long, height: 18 }));
          at += long;
        }
        root.append(svg("text", { class: "row small", x: at + 6, y: y + 17 }, `${megabytes(row.artifact)} MB`));
      });
      return root;
    });
  }
}

// --- latency and training ---------------------------------------------------------------------------------------------

function select(host, legend, entries, chosen, changed) {
  const made = node("select", { "aria-label": legend }, ...entries.map(([value, label]) => node("option", { value }, label)));
  made.value = String(chosen);
  made.addEventListener("change", () => changed(made.value));
  host.append(node("label", { class: "select" }, node("span", {}, legend), made));
}

function drawLatency() {
  if (!box("latency-chart")) return;
  const cells = data.latency.run.map((run, place) => ({
    run: runs[run], precision: data.latency.precision[place], ms: data.latency.ms[place],
    low: data.latency.low[place], high: data.latency.high[place],
    shape: `${data.latency.batch[place]} × ${data.latency.length[place]} tokens`,
  })).filter((cell) => cell.precision === (data.methods[cell.run.methods].name.includes("quantize") ? "int8" : "float32"));
  const chosen = { shape: cells[0].shape, task: cells[0].run.task, seed: cells[0].run.seed };
  const draw = () => {
    const own = cells.filter((cell) => cell.shape === chosen.shape && cell.run.task === chosen.task
      && cell.run.seed === chosen.seed && cell.run[state.score] !== null);
    show(box("latency-chart"), (width) => (own.length ? latencyChart(own, width) : "Nothing was measured of this."));
    box("latency-table").replaceChildren(table(["cell", "precision", "ms", "quartiles", SCORE[state.score], "run id"],
      own.map((cell) => [cellName(cell.run), cell.precision, cell.ms.toFixed(2),
        `${cell.low.toFixed(2)}–${cell.high.toFixed(2)}`, cell.run[state.score].toFixed(2), cell.run.id])));
  };
  const choose = (legend, key, values, label) =>
    values.length > 1 && select(box("latency-choice"), legend, values.map((value) => [value, label(value)]), chosen[key],
      (value) => { chosen[key] = key === "shape" ? value : Number(value); draw(); });
  const among = (key) => [...new Set(cells.map((cell) => cell.run[key]))].sort((a, b) => a - b);
  choose("Batch × length", "shape", [...new Set(cells.map((cell) => cell.shape))], String);
  choose("Task", "task", among("task"), (task) => data.tasks[task].label);
  choose("Seed", "seed", among("seed"), String);
  redrawn.push(draw);
  draw();
}

function latencyChart(cells, width) {
  const times = cells.flatMap((cell) => [cell.low, cell.high]);
  const frame = axes(width, width < 560 ? 320 : 380, {
    title: "Score against latency",
    x: { domain: spread(times), log: true, label: "median ms per batch (log scale)" },
    y: { domain: padded(cells.map((cell) => cell.run[state.score])), label: `${data.tasks[cells[0].run.task].label} ${SCORE[state.score]}` },
  });
  const shown = cells.map((cell) => {
    const { run } = cell, methods = data.methods[run.methods], x = frame.x(cell.ms), y = frame.y(run[state.score]);
    const ends = { x1: frame.x(cell.low), x2: frame.x(cell.high), y1: y, y2: y, "aria-hidden": "true" };
    frame.root.append(svg("line", { class: `bar ${hue(methods)}`, ...ends }));
    const lines = [cellName(run), `${cell.ms.toFixed(2)} ms (quartiles ${cell.low.toFixed(2)}–${cell.high.toFixed(2)}), ${cell.precision}`,
      `${SCORE[state.score]} ${run[state.score].toFixed(2)}, ${megabytes(run[state.size])} MB`, `run ${run.id}`];
    return { mark: mark(methods, x, y, 4.5), x, y, lines };
  });
  frame.root.append(...shown.map(({ mark }) => mark));
  interactive(frame.root, shown);
  return frame.root;
}

function drawTraining() {
  if (!box("training-chart")) return;
  const there = runs.filter((run) => data.training[run.place]);
  const chosen = { task: there[0].task, model: there[0].model, seed: there[0].seed };
  const draw = () => {
    const own = there.filter((run) => ["task", "model", "seed"].every((key) => run[key] === chosen[key]));
    show(box("training-chart"), (width) => {
      if (!own.length) return "No such run.";
      const curves = own.map((run) => ({ run, steps: data.steps[data.training[run.place].grid], losses: data.training[run.place].loss.map((loss) => loss / 1000) }));
      const frame = axes(width, width < 560 ? 320 : 380, {
        title: "Training loss over the steps",
        x: { domain: [0, Math.max(...curves.flatMap(({ steps }) => steps))], label: "step" },
        y: { domain: padded([0, ...curves.flatMap(({ losses }) => losses)], 0.03), label: "training loss" },
      });
      const shown = curves.map(({ run, steps, losses }) => {
        const methods = data.methods[run.methods], places = losses.map((loss, place) => [frame.x(steps[place]), frame.y(loss)]);
        frame.root.append(line(methods, places));
        const [x, y] = places.at(-1);
        return { mark: mark(methods, x, y, 4.5), x, y, lines: [cellName(run), `loss ${losses.at(-1).toFixed(3)} at step ${steps.at(-1)}`, `run ${run.id}`] };
      });
      frame.root.append(...shown.map(({ mark }) => mark));
      interactive(frame.root, shown);
      return frame.root;
    });
    box("training-legend").replaceChildren(...[...new Set(own.map((run) => run.methods))].map((place) =>
      node("li", {}, swatch(data.methods[place]), data.methods[place].label)));
  };
  const choose = (legend, key, label) => select(box("training-choice"), legend,
    [...new Set(there.map((run) => run[key]))].sort((a, b) => a - b).map((value) => [value, label(value)]), chosen[key],
    (value) => { chosen[key] = Number(value); draw(); });
  choose("Task", "task", (task) => data.tasks[task].label);
  choose("Model", "model", (model) => data.models[model]);
  choose("Seed", "seed", String);
  draw();
}

// --- light and dark ---------------------------------------------------------------------------------------------------

function themeButton() {
  const button = box("theme"), system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const label = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    label();
  });
  system.addEventListener("change", label);
  label();
  button.hidden = false;
}

document.body.append(tip);
themeButton();
if (box("figure1")) {
  state.sparsity.add(0);
  buildFilters();
  redraw();
}
drawInteractions();
drawSizes();
drawLatency();
drawTraining();
