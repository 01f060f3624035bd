// Candles as the API sends them, and what follows from them: slots, crossings.

import { compare } from "./decimal.js";

export const WINDOWS = [20, 50, 200];

/** What can cross: the close, and the averages from the shortest window to the longest. */
const LINES = ["close", ...WINDOWS.map((window) => `mms_${window}`)];

/**
 * One closed candle; each value is the API's exact decimal text, null where there is none.
 * @typedef {{time: number, open: string, high: string, low: string, close: string,
 *   volume: string|null, averages: (string|null)[]}} Row
 */

/** The rows of a CSV of /candles?windows=20,50,200. */
export function parse(csv) {
  return csv.trim().split("\n").slice(1).map((line) => {
    const cells = line.split(",").map((cell) => (cell === "" ? null : cell));
    const [time, open, high, low, close, volume, ...averages] = cells;
    return Object.freeze({ time: Number(time), open, high, low, close, volume, averages });
  });
}

/**
 * Every bucket from `first` to `last`, with its row, or null where there is no candle.
 * @returns {{time: number, row: Row|null}[]}
 */
export function slots(rows, first, last, step) {
  const byTime = new Map(rows.map((row) => [row.time, row]));
  const all = [];
  for (let time = first; time <= last; time += step) {
    all.push({ time, row: byTime.get(time) ?? null });
  }
  return all;
}

/**
 * What crossed, ascending, by the rule of the service (app/domain/crossings.py): between two
 * adjacent buckets, line `a` was not above `b` and is now (up), or the mirror of that.
 * @returns {{time: number, a: string, b: string, up: boolean}[]}
 */
export function crossings(rows, step) {
  const crossed = [];
  for (let i = 1; i < rows.length; i += 1) {
    const [before, now] = [rows[i - 1], rows[i]];
    if (now.time - before.time !== step) continue;
    for (const [a, b] of PAIRS) {
      const values = [value(before, a), value(before, b), value(now, a), value(now, b)];
      if (values.includes(null)) continue;
      const [was, is] = [compare(values[0], values[1]), compare(values[2], values[3])];
      if (was <= 0 && is > 0) crossed.push({ time: now.time, a, b, up: true });
      if (was >= 0 && is < 0) crossed.push({ time: now.time, a, b, up: false });
    }
  }
  return crossed;
}

const PAIRS = LINES.flatMap((a, i) => LINES.slice(i + 1).map((b) => [a, b]));

function value(row, line) {
  return line === "close" ? row.close : row.averages[LINES.indexOf(line) - 1];
}
