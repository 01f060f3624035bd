// Live prices: each with its age, its last change, what is unusual, and the line of the last ones.

import { change, compare } from "./decimal.js";
import { el, fill } from "./dom.js";
import { ago, count, dateTime, decimal, percent, rounded, utc } from "./format.js";
import { sparkline } from "./sparkline.js";

export function createPrices(element, words) {
  const list = el("ul", { class: "prices" });
  fill(element, el("h2", {}, words.t("prices")), list);
  return {
    show(view) {
      fill(list, ...view.symbols.map((symbol) => item(symbol, view, words)));
    },
  };
}

function item({ symbol, history, anomaly }, view, words) {
  const [newest, before] = history;
  if (!newest) {
    return el("li", {}, el("b", {}, symbol), el("span", { class: "note" }, words.t("no_price")));
  }
  const relative = before ? change(newest.price, before.price) : null;
  return el(
    "li",
    { class: anomaly?.anomaly ? "unusual" : null },
    el("b", {}, symbol),
    el(
      "span",
      { title: decimal(newest.price, words.lang) },
      `${rounded(newest.price, words.lang)} ${newest.currency.toUpperCase()}`,
    ),
    relative === null ? null : el("span", { class: "change" }, changeWords(relative, words)),
    sparkline(history.map((each) => each.price).reverse(), seen(symbol, history, words)),
    el(
      "small",
      { title: utc(newest.timestamp) },
      ago(view.now - newest.timestamp, words),
      newest.stale ? ` · ${words.t("stale")}` : null,
    ),
    anomaly?.anomaly ? el("p", { class: "note", lang: "en" }, `⚠ ${anomaly.message}`) : null,
  );
}

function changeWords(relative, words) {
  const sign = relative.startsWith("-") ? "▼" : Number(relative) ? "▲" : "";
  return `${sign} ${percent(relative, words.lang, 2)}`.trim();
}

function seen(symbol, history, words) {
  const prices = history.map((each) => each.price);
  const least = prices.reduce((a, b) => (compare(a, b) <= 0 ? a : b));
  const most = prices.reduce((a, b) => (compare(a, b) >= 0 ? a : b));
  return words.t("sparkline", {
    symbol,
    number: count(history.length, words.lang),
    since: dateTime(history.at(-1).timestamp, words.lang),
    least: decimal(least, words.lang),
    most: decimal(most, words.lang),
  });
}
