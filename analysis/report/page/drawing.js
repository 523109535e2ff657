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

const LINE = 1.6; // width of curves, as in page.css
const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
const trimmed = (value) => String(Number(value.toPrecision(6))).replace("-", "−");

function megabytes(bytes) {
  const shown = bytes / 1e6;
  return shown.toFixed(shown >= 100 ? 0 : shown >= 10 ? 1 : shown >= 1 ? 2 : 3);
}

// The look of a subset of the methods is data: the number of its hue, the path of its marker, the dashes of its line.
function look(methods) {
  return `hue-${methods.hue} ${methods.filled ? "filled" : "hollow"}`;
}

function mark(methods, x, y, radius) {
  const transform = `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${radius})`;
  return svg("path", { class: `mark ${look(methods)}`, d: methods.marker, transform });
}

function line(methods, places) {
  const d = places.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
  const dashes = methods.dash.map((length) => (length * LINE).toFixed(1)).join(" ") || "none";
  return svg("path", { class: `line ${look(methods)}`, d, "stroke-dasharray": dashes, "aria-hidden": "true" });
}
