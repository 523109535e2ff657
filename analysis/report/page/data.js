// The data of the page, what of them is chosen, and means of them.
const data = JSON.parse(document.getElementById("data").textContent);
const box = (id) => document.getElementById(id);
const records = (columns) => Object.values(columns)[0].map((_, place) =>
  Object.fromEntries(Object.entries(columns).map(([key, column]) => [key, column[place]])));
const runs = records(data.runs).map((run, place) => ({ ...run, place }));
const distinct = (key) => [...new Set(runs.map((run) => run[key]))].sort((a, b) => a - b);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const subset = (run) => data.compressions[run.compression].methods;
const methodsOf = (run) => data.methods[subset(run)];
const scoreLabel = () => data.scores[state.score].label;
const nameOf = (run) => `${data.models[run.model]}, ${data.compressions[run.compression].label}`;
const taskLabel = (task) => data.tasks[task].label;
const variantKey = (filter) => `variant of ${filter.name}`;

const state = {
  score: data.score,
  size: data.size,
  task: new Set(data.tasks.flatMap((task, place) => (data.chosen_tasks.includes(task.name) ? [place] : []))),
  methods: new Set(data.methods.keys()),
  model: new Set(data.models.keys()),
  seed: new Set(distinct("seed")),
  ...Object.fromEntries(data.filters.map((filter) => [variantKey(filter), new Set(filter.variants.keys())])),
};

function isChosen(run) {
  const { methods, variants } = data.compressions[run.compression];
  return state.methods.has(methods) && state.model.has(run.model) && data.filters.every((filter, place) =>
    variants[place] === null || state[variantKey(filter)].has(variants[place]));
}

function groups(list, key) {
  const grouped = new Map();
  for (const item of list) grouped.has(key(item)) ? grouped.get(key(item)).push(item) : grouped.set(key(item), [item]);
  return [...grouped.values()];
}

// Mean over tasks of the mean over seeds, as in means.py: only what has every one of the tasks.
function meanPoints(tasks, wide = false) {
  const kept = runs.filter((run) => tasks.has(run.task) && state.seed.has(run.seed) && run[state.score] !== null
    && (wide || isChosen(run)));
  const points = [], lacking = [];
  for (const alike of groups(kept, (run) => `${run.model} ${run.compression}`)) {
    const cells = groups(alike, (run) => run.task);
    if (cells.length < tasks.size) {
      lacking.push(nameOf(alike[0]));
      continue;
    }
    const variances = cells.map((cell) => {
      const middle = mean(cell.map((run) => run[state.score]));
      return cell.reduce((sum, run) => sum + (run[state.score] - middle) ** 2, 0) / (cell.length - 1) / cell.length;
    });
    const sum = variances.reduce((total, variance) => total + variance, 0);
    points.push({
      runs: alike, ...alike[0], tasks: cells.length,
      seeds: Math.min(...cells.map((cell) => cell.length)),
      score: mean(cells.map((cell) => mean(cell.map((run) => run[state.score])))),
      bytes: mean(cells.map((cell) => mean(cell.map((run) => run[state.size])))),
      error: cells.every((cell) => cell.length > 1) ? Math.sqrt(sum) / cells.length : null,
    });
  }
  points.sort((a, b) => subset(a) - subset(b) || a.bytes - b.bytes);
  return { points, lacking };
}
