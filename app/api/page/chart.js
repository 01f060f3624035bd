// Draws the candles, the averages and the volume with lightweight-charts.

import { el } from "./dom.js";
import { createBands } from "./marks.js";
import { bucket, rounded, timeOfDay, utcDay } from "./format.js";
import { WINDOWS } from "./rows.js";

const DAY = 86_400;
const MARGIN = 24; // pixels
const LINE_NAMES = WINDOWS.map((window) => `--line-${window}`);

/** Start to load the library; its promise fails where the service has none. */
export function loadLibrary() {
  return import("./library/lightweight-charts.js");
}

/**
 * A chart in `element`. `onCursor(slot index or null)` is called as the crosshair moves.
 * `show` takes slots (every bucket, with its row or null), the running bucket and revisions.
 */
export function createChart(element, library, words, onCursor) {
  // What the library makes is for the eye: the cursor reads it aloud, and there is a table.
  const drawing = element.appendChild(el("div", { "aria-hidden": "true", class: "canvas" }));
  const style = () => getComputedStyle(document.documentElement);
  const colour = (name) => style().getPropertyValue(name).trim();
  const chart = library.createChart(drawing, {
    autoSize: true,
    layout: { attributionLogo: false, fontFamily: style().getPropertyValue("--font") },
    rightPriceScale: { scaleMargins: { top: 0.06, bottom: 0.24 } },
    timeScale: { minBarSpacing: 0.1, timeVisible: true },
    crosshair: { mode: library.CrosshairMode.Normal },
    localization: { locale: words.lang },
    handleScroll: { vertTouchDrag: false },
  });
  const quiet = { lastValueVisible: false, priceLineVisible: false };
  const volume = chart.addSeries(library.HistogramSeries, {
    ...quiet,
    priceScaleId: "volume",
    priceFormat: { type: "volume" },
  });
  volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
  const lines = WINDOWS.map(() =>
    chart.addSeries(library.LineSeries, {
      ...quiet,
      lineWidth: 2,
      crosshairMarkerVisible: false,
    }),
  );
  const candles = chart.addSeries(library.CandlestickSeries, quiet);
  const bands = createBands(() => ({ hole: colour("--hole"), running: colour("--muted") }));
  candles.attachPrimitive(bands);
  const revised = library.createSeriesMarkers(candles, []);

  let slots = [];
  let step = DAY;
  let shown = null; // what the drawing is of, so that new data leaves the zoom alone
  let revisions = [];
  let drawn = {};
  let zoomed = null; // a range that is not drawn yet: keys may be quicker than the screen
  chart.subscribeCrosshairMove(({ time, sourceEvent, logical }) => {
    if (time === undefined && sourceEvent === undefined) return;
    const index = slots.findIndex((slot) => slot.time === time);
    onCursor(logical === undefined || index < 0 ? null : index);
  });

  function look() {
    const [up, down] = [colour("--up"), colour("--down")];
    chart.applyOptions({
      layout: { background: { color: colour("--surface") }, textColor: colour("--text") },
      grid: { vertLines: { color: colour("--grid") }, horzLines: { color: colour("--grid") } },
      rightPriceScale: { borderColor: colour("--grid") },
      timeScale: { borderColor: colour("--grid") },
    });
    // A rising candle is hollow: it is told without colour, too.
    candles.applyOptions({
      upColor: colour("--surface"),
      downColor: down,
      borderUpColor: up,
      borderDownColor: down,
      wickUpColor: up,
      wickDownColor: down,
    });
    lines.forEach((line, i) => line.applyOptions({ color: colour(LINE_NAMES[i]) }));
    volume.applyOptions({ color: colour("--volume") });
    mark();
  }

  function mark() {
    const at = new Set(slots.filter((slot) => slot.row).map((slot) => slot.time));
    revised.setMarkers(
      revisions
        .filter((revision) => at.has(revision.timestamp))
        .map((revision) => revision.timestamp)
        .sort((a, b) => a - b)
        .map((time) => ({
          time,
          position: "aboveBar",
          shape: "arrowDown",
          color: colour("--revision"),
        })),
    );
  }

  function draw(view) {
    // Drawn anew it would lose the crosshair: only where something has changed.
    const of = JSON.stringify([view.key, view.running, view.gaps, view.revisions]);
    if (of === drawn.of && view.rows === drawn.rows) return;
    drawn = { of, rows: view.rows };
    slots = view.slots;
    step = view.step;
    revisions = view.revisions;
    chart.applyOptions({
      localization: {
        priceFormatter: (value) => rounded(value, words.lang),
        timeFormatter: (time) => bucket(time, step, words.lang),
      },
      timeScale: { tickMarkFormatter: (time, type) => tick(time, type, step, words.lang) },
    });
    candles.setData(slots.map(({ time, row }) => (row ? candle(time, row) : { time })));
    lines.forEach((line, i) => line.setData(pointsOf(slots, i)));
    volume.setData(
      slots.map(({ time, row }) =>
        row?.volume == null ? { time } : { time, value: Number(row.volume) },
      ),
    );
    bands.show(view.bands);
    mark();
    if (shown !== view.key) {
      // Room for the whole running bucket, and for the label below it.
      const buckets = (MARGIN * slots.length) / chart.timeScale().width();
      chart.timeScale().applyOptions({ rightOffset: Math.max(1, Math.ceil(buckets)) });
      chart.timeScale().fitContent();
    }
    shown = view.key;
  }

  look();
  return {
    show: draw,
    look,
    /** Put the crosshair on a slot, and bring it into view. */
    point(index) {
      const { time, row } = slots[index];
      const range = chart.timeScale().getVisibleLogicalRange();
      if (range && (index < range.from || index > range.to)) {
        const half = (range.to - range.from) / 2;
        chart.timeScale().setVisibleLogicalRange({ from: index - half, to: index + half });
      }
      const level = row ?? slots.slice(0, index).findLast((slot) => slot.row)?.row;
      chart.setCrosshairPosition(Number(level?.close ?? 0), time, candles);
    },
    unpoint: () => chart.clearCrosshairPosition(),
    /** Show more (above 1) or less of the time. */
    zoom(factor) {
      const range = zoomed ?? chart.timeScale().getVisibleLogicalRange();
      if (!range) return;
      const [middle, half] = [(range.from + range.to) / 2, (range.to - range.from) / 2];
      zoomed = { from: middle - half * factor, to: middle + half * factor };
      chart.timeScale().setVisibleLogicalRange(zoomed);
      // The library takes it up as it draws next, which was asked for before this.
      requestAnimationFrame(() => {
        zoomed = null;
      });
    },
    picture: () => chart.takeScreenshot(),
  };
}

function candle(time, row) {
  const [open, high, low, close] = [row.open, row.high, row.low, row.close].map(Number);
  return { time, open, high, low, close };
}

/**
 * The points of one average. The library draws a line on to the next point that there is, also over
 * buckets without one. There it must end: a point's colour is that of the line after it.
 */
function pointsOf(slots, window) {
  return slots.map(({ time, row }, i) => {
    const value = row?.averages[window];
    if (value == null) return { time };
    const ends = slots[i + 1]?.row?.averages[window] == null;
    return { time, value: Number(value), ...(ends && { color: "transparent" }) };
  });
}

/** A label of the time axis: days are UTC days, which is said where times are the reader's. */
function tick(time, type, step, lang) {
  if (type > 2) return timeOfDay(time, lang);
  const parts = [{ year: "numeric" }, { month: "short" }, { day: "numeric", month: "short" }];
  const day = utcDay(time, lang, parts[step === DAY ? type : 2]);
  return step === DAY ? day : `${day} UTC`;
}

/** A picture of the chart that stands alone: with what it shows, and of when, below it. */
export function captioned(picture, text) {
  const height = Math.round(picture.width / 30);
  const whole = document.createElement("canvas");
  whole.width = picture.width;
  whole.height = picture.height + 2 * height;
  const context = whole.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  context.fillStyle = style.getPropertyValue("--surface").trim();
  context.fillRect(0, 0, whole.width, whole.height);
  context.drawImage(picture, 0, 0);
  context.fillStyle = style.getPropertyValue("--text").trim();
  context.font = `${Math.round(height * 0.8)}px ${style.getPropertyValue("--font")}`;
  context.fillText(text, height / 2, picture.height + height * 1.3, picture.width - height);
  return whole;
}

