// Filters over figure 1 and its panels, light and dark, and what happens when the page is opened.

function swatch(methods) {
  const root = svg("svg", { width: 34, height: 14, "aria-hidden": "true" });
  root.append(line(methods, [[1, 7], [33, 7]]), mark(methods, 17, 7, 4));
  return root;
}

function fieldset(host, legend, ...inside) {
  host.append(node("fieldset", {}, node("legend", {}, legend), node("div", {}, ...inside)));
}

function chip(type, name, value, checked, changed, ...label) {
  const input = node("input", { type, name, value });
  input.checked = checked;
  input.addEventListener("change", () => { changed(input.checked); redraw(); });
  return node("label", { class: "chip" }, input, ...label);
}

// A set of values, each on or off.
function several(host, legend, key, entries) {
  const turn = (value, on) => state[key][on ? "add" : "delete"](value);
  const made = entries.map(([value, ...label]) =>
    chip("checkbox", key, value, state[key].has(value), (on) => turn(value, on), ...label));
  const all = node("button", { type: "button", class: "all", "aria-label": `${legend}: all or none` }, "all / none");
  all.addEventListener("click", () => {
    const inputs = made.map((label) => label.querySelector("input"));
    const on = !inputs.every((input) => input.checked);
    for (const input of inputs) input.checked = on;
    for (const [value] of entries) turn(value, on);
    redraw();
  });
  fieldset(host, legend, ...made, ...(made.length > 2 ? [all] : []));
}

function one(host, legend, key, entries) {
  const choose = (value) => () => { state[key] = value; };
  const made = entries.map(([value, label]) => chip("radio", key, value, state[key] === value, choose(value), label));
  fieldset(host, legend, ...made);
}

const redrawn = []; // what else shows the chosen score or bytes

function redraw() {
  tip.hidden = true;
  box("figure1-runs").replaceChildren();
  drawFigure1();
  drawTasks();
  for (const draw of redrawn) draw();
}

// What sizes of markers and shades tell.
function keys() {
  const dot = (scale) => svg("svg", { width: 14, height: 14, "aria-hidden": "true" },
    svg("circle", { class: "size", cx: 7, cy: 7, r: 5 * scale }));
  const sizes = data.sizes_of_markers.map(({ label, scale }) => node("li", {}, dot(scale), label));
  return node("ul", { class: "legend" }, ...sizes, node("li", {}, node("span", { class: "key common" }), "scores in common"));
}

function buildFilters() {
  several(box("legend"), "Methods", "methods", data.methods.map((methods, place) => [place, swatch(methods), methods.label]));
  box("legend").append(keys());
  const host = box("filters");
  several(host, "Tasks", "task", data.tasks.map((task, place) => [place, task.label]));
  several(host, "Models", "model", data.models.map((model, place) => [place, model]));
  for (const filter of data.filters) several(host, filter.name, variantKey(filter), [...filter.variants.entries()]);
  if (state.seed.size > 1) several(host, "Seeds", "seed", distinct("seed").map((seed) => [seed, String(seed)]));
  const entries = (measures) => Object.entries(measures).map(([key, measure]) => [key, measure.short]);
  one(host, "Score", "score", entries(data.scores));
  one(host, "Bytes", "size", entries(data.sizes));
  host.parentElement.open = innerWidth > 620;
}

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
  buildFilters();
  redraw();
}
drawInteractions();
drawSizes();
drawLatency();
drawTraining();
