// How complete and how fresh each series is.

import { el, fill } from "./dom.js";
import { ago, count, shortBucket, utc } from "./format.js";
import { STEPS } from "./ranges.js";

/** Rows shown before somebody asks for all: a service may have thousands. */
const MOST = 20;

/** `onChoose({pair, interval, range})` is called as a series is chosen. */
export function createFreshness(element, words, root, onChoose) {
  let all = false;
  const heads = ["series", "newest", "checked", "complete"].map((key) =>
    el("th", { scope: "col" }, words.t(key)),
  );
  const body = el("tbody");
  const more = el("button", { type: "button", hidden: true, click: showAll }, words.t("show_all"));
  fill(
    element,
    el("h2", {}, words.t("freshness")),
    el("table", {}, el("thead", {}, el("tr", {}, ...heads)), body),
    more,
  );
  let view = null;

  function show(now) {
    view = now;
    const rows = all ? view.pairs : view.pairs.slice(0, MOST);
    const focused = body.querySelector(":focus");
    fill(body, ...rows.map((status) => line(status)));
    more.hidden = rows.length === view.pairs.length;
    if (focused) [...body.querySelectorAll("a, button")].find(isLike(focused))?.focus();
  }

  function showAll() {
    all = true;
    show(view);
  }

  function line(status) {
    const { pair, symbol, interval } = status;
    const chosen = pair === view.pair && interval === view.interval;
    return el(
      "tr",
      { class: status.stale ? "stale" : null },
      el(
        "th",
        { scope: "row" },
        el(
          "button",
          {
            type: "button",
            value: `${pair} ${interval}`,
            "aria-pressed": String(chosen),
            click: () => onChoose({ pair, interval, range: null }),
          },
          `${symbol} ${interval}`,
        ),
      ),
      el("td", {}, ...newest(status)),
      el("td", {}, ...checked(status)),
      el("td", {}, ...complete(status)),
    );
  }

  function newest({ as_of: asOf, stale, interval }) {
    if (!asOf) return [words.t("none")];
    const at = Date.parse(asOf) / 1000;
    const shown = shortBucket(at, STEPS[interval], view.now, words.lang);
    const text = el("span", { title: utc(at) }, shown);
    return [text, stale ? el("strong", { class: "bad" }, ` ${words.t("stale")}`) : null];
  }

  function checked({ checked_at: at }) {
    if (!at) return [words.t("never")];
    const seconds = Date.parse(at) / 1000;
    const text = ago(view.now - seconds, words);
    return [el("span", { title: utc(seconds) }, text)];
  }

  function complete({ pair, interval, stored, expected, missing }) {
    const share = `${count(stored, words.lang)} / ${count(expected, words.lang)}`;
    if (!missing) return [share];
    const address = `${root}/${encodeURIComponent(pair)}/gaps?interval=${interval}`;
    const text = words.t("missing", { count: missing });
    return [share, " ", el("a", { href: address, class: "bad" }, text)];
  }

  return { show };
}

/** Whether another button or link does the same. */
function isLike(one) {
  return (other) => other.value === one.value && other.href === one.href;
}
