// Charts of the runs that the reader chooses: latency, training.

// A box to select from for each of [legend, key, values, label]; what is chosen is in `chosen`.
function choices(host, chosen, changed, entries) {
  for (const [legend, key, values, label] of entries) {
    const distinct = [...new Set(values)].sort((a, b) => a - b);
    const made = node("select", { "aria-label": legend },
      ...distinct.map((value, place) => node("option", { value: place }, label(value))));
    made.value = String(distinct.indexOf(chosen[key]));
    made.addEventListener("change", () => { chosen[key] = distinct[Number(made.value)]; changed(); });
    if (distinct.length > 1) host.append(node("label", { class: "select" }, node("span", {}, legend), made));
  }
}

// Score against latency.
function drawLatency() {
  if (!box("latency-chart")) return;
  const measured = records(data.latency).map((cell) => (
    { ...cell, run: runs[cell.run], shape: `${cell.batch} × ${cell.length} tokens` }));
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

// Loss over the steps.
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
        const methods = methodsOf(run), places = losses.map((loss, place) => [frame.x(steps[place]), frame.y(loss)]);
        frame.root.append(line(methods, places));
        const [x, y] = places.at(-1);
        return { mark: mark(methods, x, y, 4.5), x, y, lines: [nameOf(run), `loss ${losses.at(-1).toFixed(3)} at step ${steps.at(-1)}`, `run ${run.id}`] };
      });
      return interactive(frame.root, shown);
    });
    box("training-legend").replaceChildren(...[...new Set(own.map(subset))].map((place) =>
      node("li", {}, swatch(data.methods[place]), data.methods[place].label)));
  };
  const of = (key) => there.map((run) => run[key]);
  choices(box("training-choice"), chosen, draw, [
    ["Task", "task", of("task"), taskLabel], ["Model", "model", of("model"), (model) => data.models[model]],
    ["Seed", "seed", of("seed"), String],
  ]);
  draw();
}
