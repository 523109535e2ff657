// The charts beside figure 1: interactions, bytes, and of the runs that the reader chooses latency and training.

const RATIOS = [0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3, 5, 10];

// Each combination's log-interaction with its interval.
function drawInteractions() {
  const rows = (data.interactions ?? []).filter((row) => row.estimate !== null);
  if (!box("interactions-chart") || !rows.length) return;
  const names = [...new Set(rows.map((row) => row.label))];
  const [low, high] = padded(rows.flatMap((row) => [row.low ?? row.estimate, row.high ?? row.estimate, -0.2, 0.2]));
  const ticks = RATIOS.filter((ratio) => Math.log(ratio) > low && Math.log(ratio) < high);
  const beside = Math.max(190, 24 + 6.6 * Math.max(...names.map((name) => name.length))); // pixels for the longest name
  show(box("interactions-chart"), (width) => {
    const slim = width < 560, step = slim ? 58 : 44, left = slim ? 12 : beside, height = names.length * step + 62;
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
    return interactive(frame.root, shown);
  });
}

// What the bytes of each model are.
function drawSizes() {
  const host = box("sizes-charts");
  if (!host) return;
  const names = [...new Set(data.breakdown.map((row) => row.name))];
  for (const model of data.models) {
    const own = data.breakdown.filter((row) => row.model === model);
    if (!own.length) continue;
    const inside = node("div");
    host.append(node("div", { class: "panel" }, node("h3", {}, model), inside));
    show(inside, (width) => {
      const stacked = 6.2 * Math.max(...names.map((name) => name.length)) > 0.45 * width;
      const step = stacked ? 42 : 27, left = stacked ? 0 : 140, right = 64;
      const root = svg("svg", { width, height: step * names.length, role: "group", "aria-label": `Bytes of ${model}` });
      const scale = linear([0, Math.max(...data.breakdown.map((row) => row.artifact / row.whole))], [0, width - left - right]);
      names.forEach((name, place) => {
        const row = own.find((other) => other.name === name), y = step * (place + 1) - 27;
        root.append(svg("text", stacked ? { class: "row small", x: 0, y }
          : { class: "row small", x: left - 8, y: y + 17, "text-anchor": "end" }, name));
        if (!row) return root.append(svg("text", { class: "note", x: left, y: y + 17 }, "not run"));
        let at = left;
        for (const part of data.parts) {
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
