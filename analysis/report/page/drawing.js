// Drawing: SVG made by hand, sized in CSS pixels, coloured by CSS, so that dark mode needs no redrawing.
"use strict";

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const node = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

const LINE = 1.6; // width of curves, as in page.css
const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
const trimmed = (value) => String(Number(value.toPrecision(6))).replace("-", "−");

function megabytes(bytes) {
  const shown = bytes / 1e6;
  return shown.toFixed(shown >= 100 ? 0 : shown >= 10 ? 1 : shown >= 1 ? 2 : 3);
}

// The look of a subset of the methods is data: the number of its hue, the path of its marker, the dashes of its line.
const look = (methods) => `hue-${methods.hue} ${methods.filled ? "filled" : "hollow"}`;

const scaleOf = (run) => data.compressions[run.compression].scale; // of a marker, by options and strengths

function mark(methods, x, y, radius) {
  const transform = `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${radius})`;
  return svg("path", { class: `mark ${look(methods)}`, d: methods.marker, transform });
}

function line(methods, places) {
  const d = places.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
  const dashes = methods.dash.map((length) => (length * LINE).toFixed(1)).join(" ") || "none";
  return svg("path", { class: `line ${look(methods)}`, d, "stroke-dasharray": dashes, "aria-hidden": "true" });
}

// Scales from numbers to pixels, and axes with their ticks.
const linear = ([low, high], [from, to]) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

function logarithmic([low, high], range) {
  const place = linear([Math.log(low), Math.log(high)], range);
  return (value) => place(Math.log(value));
}

// Of ratios around 1: plain steps, or 1, 2, 5 where they span much.
const ratioTicks = ([low, high], wanted) =>
  high < 2.5 ? linearTicks([low, high], wanted) : logTicks([low, high], wanted);

function linearTicks([low, high], wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((digit) => digit * power >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step); tick * step <= high + 1e-9 * step; tick++) ticks.push(tick * step);
  return ticks;
}

function logTicks([low, high], wanted) {
  for (const digits of [[1, 2, 5], [1, 3], [1]]) {
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      ticks.push(...digits.map((digit) => digit * 10 ** power).filter((tick) => tick >= low && tick <= high));
    if (ticks.length <= wanted || digits.length === 1) return ticks;
  }
}

function padded(values, share = 0.06) {
  const low = Math.min(...values), high = Math.max(...values);
  const pad = (high - low || Math.abs(high) || 1) * share;
  return [low - pad, high + pad];
}

// A log axis around positive values.
function spread(values) {
  const low = Math.min(...values), high = Math.max(...values);
  const margin = low < high ? 1.25 : 3;
  return [low / margin, high * margin];
}

// x and y: {domain, label, log, format}; x also ticks, y room, the pixels of a tick. Gives {root, x, y, inner}: the SVG, both scales, the inner box.
function axes(width, height, { x, y, title, margin = {} }) {
  const inner = { left: 46, right: 14, top: 10, bottom: 40, ...margin };
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": title });
  const across = [inner.left, width - inner.right], down = [height - inner.bottom, inner.top];
  const scale = { x: (x.log ? logarithmic : linear)(x.domain, across), y: linear(y.domain, down) };
  const grid = root.appendChild(svg("g", { class: "grid", "aria-hidden": "true" }));
  const narrow = Math.max(2, Math.floor((across[1] - across[0]) / 62));
  for (const tick of x.ticks ?? (x.log ? logTicks : linearTicks)(x.domain, narrow)) {
    const at = scale.x(tick);
    grid.append(svg("line", { x1: at, x2: at, y1: down[0], y2: down[1] }));
    grid.append(svg("text", { x: at, y: down[0] + 16, "text-anchor": "middle" }, (x.format ?? trimmed)(tick)));
  }
  for (const tick of linearTicks(y.domain, Math.max(2, Math.floor((down[0] - down[1]) / (y.room ?? 44))))) {
    const at = scale.y(tick);
    grid.append(svg("line", { x1: across[0], x2: across[1], y1: at, y2: at }));
    grid.append(svg("text", { x: across[0] - 7, y: at + 4, "text-anchor": "end" }, (y.format ?? trimmed)(tick)));
  }
  grid.append(svg("line", { class: "axis", x1: across[0], x2: across[1], y1: down[0], y2: down[0] }));
  const middle = (across[0] + across[1]) / 2;
  if (x.label) grid.append(svg("text", { class: "label", x: middle, y: height - 4, "text-anchor": "middle" }, x.label));
  const turned = `translate(12 ${(down[0] + down[1]) / 2}) rotate(-90)`;
  if (y.label) grid.append(svg("text", { class: "label", transform: turned, "text-anchor": "middle" }, y.label));
  return { root, ...scale, across, down };
}
