// The same candles as a table, the newest first, a page at a time.

import { el, fill } from "./dom.js";
import { bucket, count, decimal, utc } from "./format.js";
import { causeOf } from "./legend.js";
import { WINDOWS } from "./rows.js";

const PAGE = 100;
const PRICES = ["open", "high", "low", "close"];

export function createTable(element, words) {
  let most = PAGE;
  let key = null;
  let shown = null;

  function show(view) {
    if (key !== view.key) most = PAGE;
    key = view.key;
    // Made anew it would lose its place: only where something has changed.
    const now = JSON.stringify([view.slots, view.gaps, view.revisions, view.running, most]);
    if (now === shown) return;
    shown = now;
    const newest = view.slots.filter((slot) => slot.time !== view.running).toReversed();
    const heads = [
      words.t("bucket"),
      ...PRICES.map((name) => words.t(name)),
      ...WINDOWS.map((window) => words.t("average_of", { window })),
      words.t("volume"),
    ];
    fill(
      element,
      el(
        "div",
        { class: "scrolls", tabindex: "0", role: "region", "aria-label": words.t("table") },
        el(
          "table",
          {},
          el("caption", {}, words.t("table_caption", { series: view.symbol, range: view.rangeWords })),
          el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
          el("tbody", {}, ...newest.slice(0, most).map((slot) => line(slot, view))),
        ),
      ),
      newest.length > most &&
        el("button", { type: "button", click: () => more(view) }, words.t("show_more", {
          count: count(newest.length - most, words.lang),
        })),
    );
  }

  function more(view) {
    most += 10 * PAGE;
    show(view);
  }

  function line({ time, row }, view) {
    const head = el("th", { scope: "row", title: utc(time) }, bucket(time, view.step, words.lang));
    if (!row) {
      const cause = words.t(`cause_${causeOf(time, view.gaps)}`);
      const columns = PRICES.length + WINDOWS.length + 1;
      return el(
        "tr",
        { class: "hole" },
        head,
        el("td", { colspan: columns }, words.t("no_candle", { cause })),
      );
    }
    const texts = [...PRICES.map((name) => row[name]), ...row.averages, row.volume];
    const revised = view.revisions.some((each) => each.timestamp === time);
    if (revised) head.append(" ", el("small", {}, words.t("revised_mark")));
    return el("tr", {}, head, ...texts.map((text) => el("td", {}, decimal(text, words.lang))));
  }

  return { show };
}
