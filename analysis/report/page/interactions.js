// Each combination's log-interaction with its interval.
const RATIOS = [0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3, 5, 10];

// Pixels for words of the class `row`, beside a chart.
const labelRoom = (words) => Math.max(190, 24 + 6.6 * Math.max(...words.map((word) => word.length)));

function drawInteractions() {
  const rows = (data.interactions ?? []).filter((row) => row.estimate !== null);
  if (!box("interactions-chart") || !rows.length) return;
  const names = [...new Set(rows.map((row) => row.label))];
  const [low, high] = padded(rows.flatMap((row) => [row.low ?? row.estimate, row.high ?? row.estimate, -0.2, 0.2]));
  const ticks = RATIOS.filter((ratio) => Math.log(ratio) > low && Math.log(ratio) < high);
  show(box("interactions-chart"), (width) => {
    const slim = width < 560, step = slim ? 58 : 44, left = slim ? 12 : labelRoom(names), height = names.length * step + 62;
    const frame = axes(width, height, {
      title: "Observed over expected size reduction of each combination, with its 95 % interval", margin: { left, top: 20 },
      x: { domain: [low, high].map(Math.exp), log: true, ticks, label: "observed / expected size reduction (log scale)" },
      y: { domain: [0, 1], format: () => "" },
    });
    frame.root.querySelectorAll(".grid line:not(.axis)").forEach((drawn) => drawn.getAttribute("y1") === drawn.getAttribute("y2") && drawn.remove());
    const zone = [1 / 1.1, 1.1].map(frame.x), x = (log) => frame.x(Math.exp(log));
    const top = frame.down[1], bottom = frame.down[0];
    frame.root.append(
      svg("rect", { class: "zone", x: zone[0], width: zone[1] - zone[0], y: top, height: bottom - top }),
      svg("line", { class: "baseline", x1: x(0), x2: x(0), y1: top, y2: bottom }),
      svg("text", { class: "note", x: x(0), y: top - 6, "text-anchor": "middle" }, "multiplicative within 10 %"));
    const shown = rows.map((row) => {
      const middle = top + (names.indexOf(row.label) + 0.5) * step;
      const y = middle + (slim ? 8 : 0) + (row.size === "nominal" ? -7 : 7), at = x(row.estimate);
      if (row.size === "nominal" || !rows.some((other) => other.label === row.label && other.size === "nominal"))
        frame.root.append(svg("text", slim ? { class: "row", x: left, y: middle - 14 }
          : { class: "row", x: left - 12, y: middle + 4, "text-anchor": "end" }, row.label));
      if (row.low !== null)
        frame.root.append(svg("line", { class: `interval ${row.size} ${row.by}`, x1: x(row.low), x2: x(row.high), y1: y, y2: y }));
      const dot = svg("circle", { class: `mark interval ${row.size}`, cx: at, cy: y, r: 4.5 });
      return { mark: dot, x: at, y, lines: row.lines };
    });
    return interactive(frame.root, shown);
  });
}
