// The values of one bucket, exactly as the API wrote them: to read, and to be read aloud.

import { el, fill } from "./dom.js";
import { bucket, dateTime, decimal, timeOfDay, utc } from "./format.js";
import { WINDOWS } from "./rows.js";

const DAY = 86_400;
const PRICES = ["open", "high", "low", "close"];

/** Shows one slot at a time. */
export function createLegend(element, words) {
  return {
    show(slot, view) {
      if (!slot) {
        fill(element);
        return;
      }
      const values = slot.row ? valuesOf(slot.row, words) : [];
      fill(
        element,
        el("strong", { title: utc(slot.time) }, bucket(slot.time, view.step, words.lang)),
        el("small", {}, span(slot, view, words)),
        el(
          "dl",
          {},
          ...values.map(([key, label, text]) =>
            el("div", { class: key }, el("dt", {}, label), el("dd", {}, text)),
          ),
        ),
        ...notes(slot, view, words).map((note) => el("p", { class: "note" }, note)),
      );
    },
  };
}

/** The same in one sentence, for a screen reader. */
export function spoken(slot, view, words) {
  const values = slot.row ? valuesOf(slot.row, words).map(([, label, text]) => `${label} ${text}`) : [];
  const parts = [bucket(slot.time, view.step, words.lang), ...values];
  return [`${parts.join(", ")}.`, ...notes(slot, view, words)].join(" ");
}

function valuesOf(row, words) {
  const shown = (text) => (text == null ? words.t("none") : decimal(text, words.lang));
  return [
    ...PRICES.map((name) => [name, words.t(name), shown(row[name])]),
    ["volume", words.t("volume"), shown(row.volume)],
    ...WINDOWS.map((window, i) => [
      `mms-${window}`,
      words.t("average_of", { window }),
      shown(row.averages[i]),
    ]),
  ];
}

/** When the bucket begins and ends: a day is a UTC day, which ends somewhere in the reader's. */
function span(slot, view, words) {
  const [from, to] = [slot.time, slot.time + view.step].map((at) => timeOfDay(at, words.lang));
  return words.t(view.step === DAY ? "span_day" : "span", { from, to });
}

function notes(slot, view, words) {
  const said = [];
  if (slot.time === view.running) {
    const until = dateTime(slot.time + view.step, words.lang);
    said.push(words.t("running", { until }));
  } else if (!slot.row) {
    said.push(words.t("no_candle", { cause: words.t(`cause_${causeOf(slot.time, view.gaps)}`) }));
  }
  for (const revision of view.revisions.filter((each) => each.timestamp === slot.time)) {
    said.push(
      words.t("revised", {
        at: dateTime(revision.noticed, words.lang),
        old: decimal(revision.old, words.lang),
        new: decimal(revision.new, words.lang),
      }),
    );
  }
  return said;
}

/** Why a bucket has no candle, by /gaps; "unknown" where that does not say (yet). */
export function causeOf(time, gaps) {
  return gaps.find((gap) => gap.first <= time && time <= gap.last)?.cause ?? "unknown";
}
