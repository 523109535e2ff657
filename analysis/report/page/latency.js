// Score against latency, of the shape, task and seed that the reader chooses.
"use strict";

function select(host, legend, entries, chosen, changed) {
  const made = node("select", { "aria-label": legend }, ...entries.map(([value, label]) => node("option", { value }, label)));
  made.value = String(chosen);
  made.addEventListener("change", () => changed(made.value));
  host.append(node("label", { class: "select" }, node("span", {}, legend), made));
}

function drawLatency() {
  if (!box("latency-chart")) return;
  const measured = data.latency.run.map((run, place) => ({
    run: runs[run], precision: data.latency.precision[place], ms: data.latency.ms[place],
    low: data.latency.low[place], high: data.latency.high[place],
    shape: `${data.latency.batch[place]} × ${data.latency.length[place]} tokens`,
  }));
  const chosen = { shape: measured[0].shape, task: measured[0].run.task, seed: measured[0].run.seed };
  const draw = () => {
    const own = measured.filter(({ run, shape }) => shape === chosen.shape && run.task === chosen.task
      && run.seed === chosen.seed && run[state.score] !== null);
    show(box("latency-chart"), (width) => (own.length ? latencyChart(own, width) : "Nothing was measured of this."));
    box("latency-table").replaceChildren(table(["model", "precision", "ms", "quartiles", scoreLabel(), "run id"],
      own.map(({ run, precision, ms, low, high }) => [nameOf(run), precision, ms.toFixed(2),
        `${low.toFixed(2)}–${high.toFixed(2)}`, run[state.score].toFixed(2), run.id])));
  };
  const choose = (legend, key, values, label) =>
    values.length > 1 && select(box("latency-choice"), legend, values.map((value) => [value, label(value)]), chosen[key],
      (value) => { chosen[key] = key === "shape" ? value : Number(value); draw(); });
  const among = (key) => [...new Set(measured.map((one) => one.run[key]))].sort((a, b) => a - b);
  choose("Batch × length", "shape", [...new Set(measured.map((one) => one.shape))], String);
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
    y: { domain: padded(cells.map((cell) => cell.run[state.score])), label: `${data.tasks[cells[0].run.task].label} ${scoreLabel()}` },
  });
  const shown = cells.map((cell) => {
    const { run } = cell, methods = methodsOf(run), x = frame.x(cell.ms), y = frame.y(run[state.score]);
    const ends = { x1: frame.x(cell.low), x2: frame.x(cell.high), y1: y, y2: y, "aria-hidden": "true" };
    frame.root.append(svg("line", { class: `bar ${look(methods)}`, ...ends }));
    const lines = [nameOf(run), `${cell.ms.toFixed(2)} ms (quartiles ${cell.low.toFixed(2)}–${cell.high.toFixed(2)}), ${cell.precision}`,
      `${scoreLabel()} ${run[state.score].toFixed(2)}, ${megabytes(run[state.size])} MB`, `run ${run.id}`];
    return { mark: mark(methods, x, y, 4.5), x, y, lines };
  });
  frame.root.append(...shown.map(({ mark }) => mark));
  interactive(frame.root, shown);
  return frame.root;
}
