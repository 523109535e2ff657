// Loss over the steps, of the runs that the reader chooses.
"use strict";

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
