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
