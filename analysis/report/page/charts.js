// Drawing: SVG made by hand, sized in CSS pixels, coloured by CSS, so that dark mode needs no redrawing.
"use strict";

function node(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
const trimmed = (value) => String(Number(value.toPrecision(6))).replace("-", "−");

function megabytes(bytes) {
  const shown = bytes / 1e6;
  return shown.toFixed(shown >= 100 ? 0 : shown >= 10 ? 1 : shown >= 1 ? 2 : 3);
}

// --- scales ---------------------------------------------------------------------------------------------------------

function linear([low, high], [from, to]) {
  return (value) => from + ((value - low) / (high - low || 1)) * (to - from);
}

function logarithmic([low, high], range) {
  const place = linear([Math.log(low), Math.log(high)], range);
  return (value) => place(Math.log(value));
}

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
      for (const digit of digits) ticks.push(digit * 10 ** power);
    const there = ticks.filter((tick) => tick >= low && tick <= high);
    if (there.length <= wanted || digits.length === 1) return there;
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

// --- axes -----------------------------------------------------------------------------------------------------------

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

const SYMBOLS = {
  o: (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
  s: (r) => `M${-r},${-r}H${r}V${r}H${-r}Z`,
  "^": (r) => `M0,${-1.25 * r}L${1.2 * r},${0.85 * r}H${-1.2 * r}Z`,
  D: (r) => `M0,${-1.35 * r}L${1.35 * r},0L0,${1.35 * r}L${-1.35 * r},0Z`,
};

function hue(methods) {
  const active = methods.name.split("+");
  const pair = ["quantize", "prune"].filter((name) => active.includes(name)).join("-") || "plain";
  return `hue-${pair} ${methods.distilled ? "filled" : "hollow"}`;
}

function mark(methods, x, y, radius, attributes = {}) {
  const at = { d: SYMBOLS[methods.marker](radius), transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` };
  return svg("path", { class: `mark ${hue(methods)}`, ...at, ...attributes });
}

function line(methods, places) {
  const path = places.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
  return svg("path", { class: `line ${hue(methods)}`, d: path, "aria-hidden": "true" });
}

// --- hosts: a box that is drawn at its own width, and what is told of the point under the pointer or focus ------------

const drawn = new Map();
const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const host = drawn.get(target);
    if (host && target.clientWidth && host.width !== target.clientWidth) host.draw();
  }
});

// Draw into `host` now and whenever its width changes; `make(width)` gives an SVG, or words if there is nothing to draw.
function show(host, make) {
  const state = drawn.get(host) ?? {};
  state.draw = () => {
    state.width = host.clientWidth;
    const made = make(Math.max(240, state.width));
    host.replaceChildren(typeof made === "string" ? node("p", { class: "empty" }, made) : made);
  };
  drawn.set(host, state);
  observer.observe(host);
  state.draw();
}

const tip = node("div", { class: "tip", hidden: "" });

function tell(lines, x, y) {
  tip.replaceChildren(...lines.map((text, place) => node(place ? "div" : "strong", {}, text)));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, x + 14), document.documentElement.clientWidth - box.width - 8);
  const above = y - box.height - 12;
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${(above > 4 ? above : y + 16) + scrollY}px`;
}

// Points that answer to pointer, focus, arrow keys and Enter. Each: {mark, x, y, lines}; one tab stop for all of them.
function interactive(root, points, choose) {
  let current = null;
  const leave = () => {
    current?.mark.classList.remove("current");
    current = null;
    tip.hidden = true;
  };
  const enter = (point) => {
    if (current !== point) leave();
    current = point;
    point.mark.classList.add("current");
    const box = root.getBoundingClientRect();
    tell(point.lines, box.left + point.x, box.top + point.y);
  };
  points.forEach((point, place) => {
    point.mark.setAttribute("tabindex", place ? "-1" : "0");
    point.mark.setAttribute("role", choose ? "button" : "img");
    point.mark.setAttribute("aria-label", point.lines.join(", "));
    point.mark.addEventListener("focus", () => enter(point));
    point.mark.addEventListener("blur", leave);
    point.mark.addEventListener("keydown", (event) => {
      const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: points.length - 1 }[event.key];
      if (points[next]) points[next].mark.focus();
      else if (choose && (event.key === "Enter" || event.key === " ")) choose(point);
      else if (event.key === "Escape") return leave();
      else return;
      event.preventDefault();
    });
  });
  const nearest = (event) => {
    const box = root.getBoundingClientRect();
    const away = (point) => Math.hypot(point.x - event.clientX + box.left, point.y - event.clientY + box.top);
    const best = points.reduce((one, other) => (one && away(one) <= away(other) ? one : other), null);
    return best && away(best) < 26 ? best : null;
  };
  root.addEventListener("pointermove", (event) => {
    const point = nearest(event);
    if (point) enter(point);
    else leave();
  });
  root.addEventListener("pointerleave", leave);
  if (choose) root.addEventListener("click", (event) => nearest(event) && choose(nearest(event)));
}
