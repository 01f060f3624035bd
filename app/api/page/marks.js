// What is drawn behind the candles: buckets without a candle, and the one that is still running.

const HATCH = 6;

/**
 * A primitive of lightweight-charts that shades spans of buckets.
 * `bands` is [{first, last, kind}], in bucket times; kind is "hole" or "running".
 */
export function createBands(colours) {
  let chart = null;
  let bands = [];
  let redraw = () => {};
  const renderer = {
    draw(target) {
      target.useBitmapCoordinateSpace((space) => {
        for (const band of bands) shade(space, edges(chart, band), colours()[band.kind], band.kind);
      });
    },
  };
  const view = { zOrder: () => "bottom", renderer: () => renderer };
  return {
    attached({ chart: owner, requestUpdate }) {
      chart = owner;
      redraw = requestUpdate;
    },
    paneViews: () => [view],
    show(spans) {
      bands = spans;
      redraw();
    },
  };
}

/** The left and right edge of a span, in CSS pixels; null outside of the time scale. */
function edges(chart, { first, last }) {
  const scale = chart.timeScale();
  const [from, to] = [scale.timeToCoordinate(first), scale.timeToCoordinate(last)];
  if (from === null || to === null) return null;
  const half = scale.options().barSpacing / 2;
  return [from - half, to + half];
}

function shade({ context, horizontalPixelRatio: ratio, bitmapSize }, across, colour, kind) {
  if (across === null) return;
  const [left, right] = across.map((x) => Math.round(x * ratio));
  const width = Math.max(right - left, 1);
  context.save();
  context.beginPath();
  context.rect(left, 0, width, bitmapSize.height);
  context.clip();
  context.globalAlpha = 0.18;
  context.fillStyle = colour;
  if (kind === "hole") context.fillRect(left, 0, width, bitmapSize.height);
  // Hatched, so that it is told without colour, too.
  context.globalAlpha = 0.75;
  context.strokeStyle = colour;
  context.lineWidth = ratio;
  if (kind === "hole") {
    context.beginPath();
    for (let y = -width; y < bitmapSize.height; y += HATCH * ratio) {
      context.moveTo(left, y + width);
      context.lineTo(right, y);
    }
    context.stroke();
  } else {
    context.setLineDash([4 * ratio, 4 * ratio]);
    context.strokeRect(left + ratio / 2, ratio, width - ratio, bitmapSize.height - 2 * ratio);
  }
  context.restore();
}
