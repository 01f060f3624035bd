// Loads what is known of one series, and makes of it what is shown.

import { seconds, STEPS } from "./ranges.js";
import { parse, slots } from "./rows.js";

const RECORDS = 100;

/** The address of the candles of a choice; `ending` is "" or ".csv". */
export function candlesPath({ pair, interval, range }, now, ending = "") {
  const query = new URLSearchParams({ interval, windows: "20,50,200" });
  const from = firstBucket(range, STEPS[interval], now);
  if (from !== null) query.set("from", from);
  if (!ending) query.set("format", "csv");
  return `/${encodeURIComponent(pair)}/candles${ending}?${query}`;
}

/** The first bucket of a range; null for all. */
function firstBucket(range, step, now) {
  const length = seconds(range);
  return length === null ? null : runningBucket(step, now) - length;
}

function runningBucket(step, now) {
  return Math.floor(now / step) * step;
}

/** The candles of a choice, and why there are none. The same reply gives the same rows. */
export async function loadRows(api, choice, signal) {
  const { body, headers } = await api.get(candlesPath(choice, api.now()), signal);
  if (body !== last.body) last = { body, rows: parse(body) };
  return { rows: last.rows, reason: headers.get("X-Data-Reason") };
}

let last = { body: null, rows: null };

/** What else the service knows of a series: gaps, revisions, refusals, the newest candle. */
export async function loadRecords(api, { pair, interval }, signal) {
  const base = `/${encodeURIComponent(pair)}`;
  const get = async (name, more = "") =>
    (await api.get(`${base}/${name}?interval=${interval}${more}`, signal)).json();
  const limit = `&limit=${RECORDS}`;
  const [gaps, revisions, refusals, latest] = await Promise.all([
    get("gaps"),
    get("revisions", limit),
    get("quarantine", limit),
    get("latest"),
  ]);
  return {
    gaps: gaps.gaps.map(({ first, last, count, cause }) => ({
      first: Date.parse(first) / 1000,
      last: Date.parse(last) / 1000,
      count,
      cause,
    })),
    revisions: revisions.map(({ timestamp, noticed, old_close, new_close }) => ({
      timestamp,
      noticed,
      old: old_close,
      new: new_close,
    })),
    refusals,
    latest,
  };
}

/**
 * Every bucket of a range up to the one that runs now, and the spans that are shaded.
 * A range begins with its first candle, unless the service says that one before it is missing.
 */
export function slotsOf({ rows, gaps }, { range, interval }, now) {
  const step = STEPS[interval];
  const running = runningBucket(step, now);
  if (!rows.length) return { slots: [], bands: [], running, step };
  const from = firstBucket(range, step, now) ?? rows[0].time;
  const lacking = gaps.filter((gap) => gap.last >= from && gap.first < rows[0].time);
  const first = lacking.length ? Math.max(from, lacking[0].first) : rows[0].time;
  const all = slots(rows, first, running, step);
  const bands = [{ first: running, last: running, kind: "running" }];
  for (const { time, row } of all.slice(0, -1)) {
    if (row) continue;
    const before = bands.at(-1);
    if (before.kind === "hole" && before.last === time - step) before.last = time;
    else bands.push({ first: time, last: time, kind: "hole" });
  }
  return { slots: all, bands, running, step };
}
