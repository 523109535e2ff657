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

// The nearest nondecreasing sequence in weighted least squares: neighbours that fall are pooled to their mean.
function isotonic(values, weights) {
  const blocks = [];
  values.forEach((value, place) => {
    let block = { value, weight: weights[place], length: 1 };
    while (blocks.length && blocks.at(-1).value >= block.value) {
      const before = blocks.pop(), weight = before.weight + block.weight;
      const value = (before.value * before.weight + block.value * block.weight) / weight;
      block = { value, weight, length: before.length + block.length };
    }
    blocks.push(block);
  });
  return blocks.flatMap(({ value, length }) => Array(length).fill(value));
}

// The least and the greatest score that is no outlier: at one end, few, farther away than all others are spread (means.py).
function inside(scores) {
  const ordered = [...scores].sort((a, b) => a - b);
  for (let count = 1; count <= Math.min(3, Math.floor(ordered.length / 6)); count++) {
    const above = ordered.at(-count - 1), below = ordered[count];
    if (ordered.at(-count) - above > above - ordered[0] && above > ordered[0]) return [ordered[0], above];
    if (below - ordered[count - 1] > ordered.at(-1) - below && ordered.at(-1) > below) return [below, ordered.at(-1)];
  }
  return [ordered[0], ordered.at(-1)];
}

// Two-sided 95 % quantile of the t distribution, from those of 1, 1.25, … degrees of freedom and, last, infinitely many.
function quantile(freedom) {
  const logs = data.quantiles.map(Math.log), last = logs.length - 2;
  const at = Math.min(Math.floor(4 * (freedom - 1)), last), inverse = (place) => (place > last ? 0 : 4 / (4 + place));
  const share = (inverse(at) - 1 / freedom) / (inverse(at) - inverse(at + 1));
  return Math.exp(logs[at] + share * (logs[at + 1] - logs[at]));
}

// Degrees of freedom of a sum of independent variance estimates, as in uncertainty.py.
function satterthwaite(parts) {
  const sum = parts.reduce((total, { variance }) => total + variance, 0);
  if (!sum) return Infinity;
  const together = sum ** 2 / parts.reduce((total, { variance, freedom }) => total + variance ** 2 / (freedom + 2), 0) - 2;
  const each = parts.filter(({ variance }) => variance).map(({ freedom }) => freedom);
  return Math.min(Math.max(together, Math.min(...each)), each.reduce((total, freedom) => total + freedom, 0));
}

const isPlain = (run) => methodsOf(run).name === "none";
const partners = new Map(runs.filter(isPlain).map((run) => [`${run.task} ${run.model} ${run.seed}`, run]));

// What runs of each task gain over the uncompressed model within seeds, and half its 95 % interval; null if undefined.
function gainOf(cells) {
  const parts = cells.map((cell) => {
    const differences = cell.flatMap((run) => {
      const plain = partners.get(`${run.task} ${run.model} ${run.seed}`);
      return plain && !isPlain(run) && plain[state.score] !== null ? [run[state.score] - plain[state.score]] : [];
    });
    const middle = mean(differences), freedom = differences.length - 1;
    const squares = differences.reduce((sum, difference) => sum + (difference - middle) ** 2, 0);
    return { middle, freedom, variance: squares / freedom / (freedom + 1) };
  });
  if (parts.some(({ freedom }) => freedom < 0)) return { gain: null, reach: null };
  const gain = mean(parts.map(({ middle }) => middle));
  if (parts.some(({ freedom }) => freedom < 1)) return { gain, reach: null };
  const error = Math.sqrt(parts.reduce((sum, { variance }) => sum + variance, 0)) / parts.length;
  return { gain, reach: quantile(satterthwaite(parts)) * error };
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
    points.push({
      runs: alike, ...alike[0], tasks: cells.length,
      seeds: Math.min(...cells.map((cell) => cell.length)),
      score: mean(cells.map((cell) => mean(cell.map((run) => run[state.score])))),
      bytes: mean(cells.map((cell) => mean(cell.map((run) => run[state.size])))),
      ...gainOf(cells),
    });
  }
  points.sort((a, b) => subset(a) - subset(b) || a.bytes - b.bytes);
  return { points, lacking };
}

// Of points by size the scores of their nondecreasing curve; and the scores that all of several curves reach, or null.
const fitted = (curve) => isotonic(curve.map((point) => point.score), curve.map((point) => point.seeds));

function commonScores(curves) {
  const low = Math.max(...curves.map((curve) => fitted(curve)[0]));
  const high = Math.min(...curves.map((curve) => fitted(curve).at(-1)));
  return curves.length > 1 && low < high ? [low, high] : null;
}
