// One sentence in words: where the close lies, and what has crossed.

import { age, dateTime, decimal, percent, utcDay, yearUnless } from "./format.js";

const DAY = 86_400;

/** The sentence for what is shown. `crossed` are the crossings of the shown candles, ascending. */
export function sentenceOf(view, crossed, words) {
  const { latest, symbol, step, now } = view;
  if (latest.timestamp == null) return words.t("nothing_stored");
  const parts = [
    words.t("closed", {
      symbol,
      price: decimal(latest.close, words.lang),
      when: whenClosed(latest.timestamp, step, now, words),
    }),
    distance(latest, view, words),
    crossing(crossed, view, words),
  ];
  const sentence = parts.filter(Boolean).join("");
  if (!latest.stale) return `${sentence}.`;
  const since = latest.timestamp + step;
  return `${sentence}. ${words.t("stale_since", { age: age(now - since, words) })}`;
}

function distance(latest, view, words) {
  const average = averageWords(200, view, words);
  if (latest.distance_200 == null) return words.t("no_average", { average });
  if (latest.trend === "at") return words.t("at_average", { average });
  const by = percent(latest.distance_200, words.lang);
  return words.t(latest.trend === "above" ? "above_average" : "below_average", { by, average });
}

/** The last time that one of the two best known lines crossed the longest average. */
function crossing(crossed, view, words) {
  if (view.latest.distance_200 == null) return "";
  const last = crossed.findLast(
    ({ a, b }) => b === "mms_200" && (a === "mms_50" || a === "close"),
  );
  if (!last) return "";
  const on = onDay(last.time, view.step, view.now, words);
  const [line, side] = [last.a === "close" ? "close" : "average", last.up ? "above" : "below"];
  return words.t(`crossed_${line}_${side}`, { average: averageWords(50, view, words), on });
}

function averageWords(window, { interval }, words) {
  return words.t(`average_${interval}`, { window });
}

/** "yesterday", "today", "on 12 November", or the time at which the bucket ended. */
function whenClosed(time, step, now, words) {
  if (step !== DAY) return words.t("at_time", { time: dateTime(time + step, words.lang) });
  return onDay(time, step, now, words);
}

function onDay(time, step, now, words) {
  if (step !== DAY) return words.t("at_time", { time: dateTime(time, words.lang) });
  const days = Math.floor(now / DAY) - time / DAY;
  if (days === 1) return words.t("yesterday");
  const parts = { day: "numeric", month: "long", ...yearUnless(now, time) };
  return words.t("on_day", { day: utcDay(time, words.lang, parts) });
}
