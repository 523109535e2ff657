// Boxes that are drawn at their own width, and what is told of the point under the pointer or focus.
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

// Draws points that answer to pointer, focus, arrow keys and Enter. Each: {mark, x, y, lines}; one tab stop for all.
function interactive(root, points, choose) {
  root.append(...points.map(({ mark }) => mark));
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
    tip.replaceChildren(...point.lines.map((text, place) => node(place ? "div" : "strong", {}, text)));
    tip.hidden = false;
    const from = root.getBoundingClientRect(), box = tip.getBoundingClientRect();
    const x = from.left + point.x, y = from.top + point.y, above = y - box.height - 12;
    const left = Math.min(Math.max(8, x + 14), document.documentElement.clientWidth - box.width - 8);
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above > 4 ? above : y + 16) + scrollY}px`;
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
    point ? enter(point) : leave();
  });
  root.addEventListener("pointerleave", leave);
  if (choose) root.addEventListener("click", (event) => nearest(event) && choose(nearest(event)));
  return root;
}
