// Which spans of time are offered for each interval, and how long they are.

const HOUR = 3600;
const DAY = 24 * HOUR;

/** Seconds of a bucket. */
export const STEPS = { "1m": 60, "15m": 900, "1h": HOUR, "3h": 3 * HOUR, "1d": DAY };

const OFFERED = {
  "1m": ["1h", "6h", "12h"],
  "15m": ["1d", "3d", "7d"],
  "1h": ["3d", "7d", "30d"],
  "3h": ["7d", "30d", "90d"],
  "1d": ["30d", "90d", "180d", "365d"],
};

const DEFAULTS = { "1m": "6h", "15m": "3d", "1h": "7d", "3h": "30d", "1d": "180d" };

/** The most buckets that one reply of the API has. */
const MOST = 10_000;

/** The ranges of an interval, from short to long; `all` where all that is served fits a reply. */
export function ranges(interval, expected = 0) {
  const offered = OFFERED[interval] ?? [];
  const longest = seconds(offered.at(-1)) / STEPS[interval];
  return expected > longest && expected <= MOST ? [...offered, "all"] : offered;
}

export function defaultRange(interval) {
  return DEFAULTS[interval];
}

/** Seconds of a range such as "6h" or "30d"; null for "all". */
export function seconds(range) {
  if (!range || range === "all") return null;
  return Number(range.slice(0, -1)) * (range.endsWith("h") ? HOUR : DAY);
}

/** A range for people: "6 h", "30 d", "All". */
export function rangeWords(range, words) {
  if (range === "all") return words.t("range_all");
  const number = range.slice(0, -1);
  return words.t(range.endsWith("h") ? "range_hours" : "range_days", { count: number });
}
