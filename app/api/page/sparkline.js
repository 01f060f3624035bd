// A small line of the last prices.

import { svg } from "./dom.js";

const [WIDTH, HEIGHT, EDGE] = [120, 32, 3];

/** `prices` are decimal texts, oldest first; `text` says the same in words. */
export function sparkline(prices, text) {
  const values = prices.map(Number);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const x = (i) => EDGE + (i * (WIDTH - 2 * EDGE)) / Math.max(values.length - 1, 1);
  const y = (value) =>
    most === least
      ? HEIGHT / 2
      : HEIGHT - EDGE - ((value - least) * (HEIGHT - 2 * EDGE)) / (most - least);
  const points = values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`);
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "sparkline", role: "img", "aria-label": text },
    svg("polyline", { points: points.join(" ") }),
    svg("circle", { cx: x(values.length - 1), cy: y(values.at(-1)), r: 2 }),
  );
}
