// The charts beside figure 1: interactions, bytes, and of the runs that the reader chooses latency and training.

// Each combination's observed over expected reduction, its interval, and below it its tasks.
function drawInteractions() {
  const rows = (data.interactions ?? []).filter((row) => row.estimate !== null);
  if (!box("interactions-chart") || !rows.length) return;
  const names = [...new Set(rows.map((row) => row.label))];
  const farthest = Math.max(0.2, ...rows.flatMap((row) => [row.low, row.estimate, row.high]).map(Math.abs));
  const others = rows.flatMap((row) => row.others.map(({ value }) => Math.abs(value)));
  const reach = 1.12 * Math.max(farthest, ...others.filter((value) => value <= 1.6 * farthest));
  const beside = Math.max(190, 24 + 6.6 * Math.max(...names.map((name) => name.length))); // pixels for the longest name
  const after = 24 + 6.2 * Math.max(...rows.flatMap((row) => row.counted.map((words) => words.length)));
  show(box("interactions-chart"), (width) => {
    const slim = width < 700, step = slim ? 88 : 58, left = slim ? 12 : beside, right = slim ? 12 : after;
    const domain = [-reach, reach].map(Math.exp), across = width - left - right;
    const frame = axes(width, names.length * step + 62, {
      title: "Observed over expected size reduction of each combination, with its 95 % interval", margin: { left, right, top: 20 },
      x: { domain, log: true, ticks: ratioTicks(domain, across / 48), label: "observed / expected size reduction (log scale)" },
      y: { domain: [0, 1], format: () => "" },
    });
    frame.root.querySelectorAll(".grid line:not(.axis)").forEach((drawn) => drawn.getAttribute("y1") === drawn.getAttribute("y2") && drawn.remove());
    const zone = [1 / 1.1, 1.1].map(frame.x), x = (log) => frame.x(Math.exp(log));
    const top = frame.down[1], bottom = frame.down[0];
    const side = (at, anchor, words) => svg("text", { class: "note", x: at, y: top - 6, "text-anchor": anchor }, words);
    frame.root.append(
      svg("rect", { class: "zone", x: zone[0], width: zone[1] - zone[0], y: top, height: bottom - top }),
      svg("line", { class: "baseline", x1: x(0), x2: x(0), y1: top, y2: bottom }),
      side(frame.across[0], "start", slim ? "← less" : "← less than the product"), side(x(0), "middle", "within 10 %"),
      side(frame.across[1], "end", slim ? "more →" : "more than the product →"));
    const labelled = new Set();
    const shown = rows.flatMap((row) => {
      const start = top + names.indexOf(row.label) * step, middle = start + (slim ? 58 : step / 2 - 4);
      if (!labelled.has(row.label)) frame.root.append(...rowWords(row, start, slim, left, width - right + 12, middle));
      labelled.add(row.label);
      return interval(frame.root, row, x, middle + (row.size === "nominal" ? -12 : 10), reach);
    });
    return interactive(frame.root, shown);
  });
}

// A row's name, of how many tasks it is, and which are left out.
function rowWords(row, start, slim, left, right, middle) {
  const [counted, without] = row.counted;
  if (slim) return [svg("text", { class: "row", x: left, y: start + 15 }, row.label),
    svg("text", { class: "note", x: left, y: start + 31 }, row.counted.join(", "))];
  const down = without ? 0 : 8;
  return [svg("text", { class: "row", x: left - 12, y: middle + 4, "text-anchor": "end" }, row.label),
    svg("text", { class: "note", x: right, y: middle - 4 + down }, counted),
    svg("text", { class: "note", x: right, y: middle + 12 }, without ?? "")];
}

// An estimate with its interval and, below it, its tasks and the study; what is beyond the axis is told at its ends.
function interval(root, row, x, y, reach) {
  if (row.low !== null) {
    const ends = { x1: x(row.low), x2: x(row.high), y1: y, y2: y };
    root.append(svg("line", { class: `interval ${row.size} ${row.by}`, ...ends }));
  }
  const below = y + 10, beyond = row.others.filter(({ value }) => Math.abs(value) > reach);
  for (const [sign, anchor] of [[-1, "start"], [1, "end"]]) {
    const told = beyond.filter(({ value }) => sign * value > 0).map(({ value }) => Math.exp(value).toFixed(2)).join(", ");
    const words = sign < 0 ? `◂ ${told}` : `${told} ▸`;
    if (told) root.append(svg("text", { class: "note", x: x(sign * reach), y: below + 4, "text-anchor": anchor }, words));
  }
  const paths = { study: "l5,5l-5,5l-5,-5Z", curves: "m-4,1l8,8m0,-8l-8,8" };
  const dots = row.others.filter((other) => !beyond.includes(other)).map(({ look, value, lines }) => {
    const at = x(value), path = paths[look];
    const drawn = path ? svg("path", { class: `mark ${look}`, d: `M${at},${below - 5}${path}` })
      : svg("circle", { class: "mark task", cx: at, cy: below, r: 2.6 });
    return { mark: drawn, x: at, y: below, lines };
  });
  const estimate = svg("circle", { class: `mark interval ${row.size}`, cx: x(row.estimate), cy: y, r: 4.5 });
  return [{ mark: estimate, x: x(row.estimate), y, lines: row.lines }, ...dots];
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
