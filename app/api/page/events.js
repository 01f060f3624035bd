// What happened: loads, gaps, revised and refused candles, unusual prices. The newest first.

import { el, fill } from "./dom.js";
import { bucket, dateTime, decimal, utc } from "./format.js";

const MOST = 12;

export function createEvents(element, words) {
  const list = el("ol", { class: "events" });
  fill(element, el("h2", {}, words.t("events")), list);
  return {
    show(view) {
      const all = happened(view, words).sort((a, b) => b.at - a.at).slice(0, MOST);
      fill(list, ...all.map((event) => item(event, words)));
      if (!all.length) fill(list, el("li", {}, words.t("no_events")));
    },
  };
}

/** `reason` is what the service says of it, in English. */
function item({ at, kind, text, reason }, words) {
  const iso = new Date(at * 1000).toISOString();
  const time = el("time", { datetime: iso, title: utc(at) }, dateTime(at, words.lang));
  const why = reason && el("span", { lang: "en" }, ` ${reason}`);
  return el("li", { class: kind }, time, " ", text, why);
}

/** Everything that is known to have happened to the shown series, and to prices. */
function happened(view, words) {
  const { symbol, interval, step } = view;
  const series = `${symbol} ${interval}`;
  const day = (at) => bucket(at, step, words.lang);
  const price = (text) => decimal(text, words.lang);
  return [
    ...[view.status]
      .filter((status) => status?.checked_at)
      .map((status) => ({
        at: Date.parse(status.checked_at) / 1000,
        kind: "load",
        text: words.t("event_load", { series }),
      })),
    ...view.gaps.map((gap) => ({
      at: gap.last + step,
      kind: "gap",
      text: words.t("event_gap", {
        series,
        day: day(gap.first),
        cause: words.t(`cause_${gap.cause}`),
        count: gap.count,
      }),
    })),
    ...view.revisions.map((revision) => ({
      at: revision.noticed,
      kind: "revision",
      text: words.t("event_revision", {
        series,
        day: day(revision.timestamp),
        old: price(revision.old),
        new: price(revision.new),
      }),
    })),
    ...view.refusals.map((refusal) => ({
      at: refusal.last_seen,
      kind: "refusal",
      text: words.t(refusal.used ? "event_note" : "event_refusal", {
        series,
        day: refusal.timestamp == null ? words.t("unknown_day") : day(refusal.timestamp),
      }),
      reason: refusal.reason,
    })),
    ...view.symbols
      .filter(({ anomaly }) => anomaly?.anomaly)
      .map(({ symbol: coin, anomaly }) => ({
        at: anomaly.timestamp,
        kind: "anomaly",
        text: words.t("event_anomaly", { symbol: coin, price: price(anomaly.latest_price) }),
      })),
  ];
}
