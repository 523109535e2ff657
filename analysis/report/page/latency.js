// Score against latency, of the shape, task and seed that the reader chooses.
"use strict";

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
  const of = (key) => measured.map(({ run }) => run[key]);
  choices(box("latency-choice"), chosen, draw, [
    ["Batch × length", "shape", measured.map(({ shape }) => shape), String], ["Task", "task", of("task"), taskLabel],
    ["Seed", "seed", of("seed"), String],
  ]);
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
  return interactive(frame.root, shown);
}
