// Chooses pair, interval and range.

import { el, fill } from "./dom.js";
import { ranges, rangeWords } from "./ranges.js";

/** `onChoose({pair, interval, range})` is called with what changes. */
export function createChoices(element, words, onChoose) {
  const pair = el("select", { name: "pair", change: () => onChoose({ pair: pair.value }) });
  const interval = el("select", {
    name: "interval",
    change: () => onChoose({ interval: interval.value, range: null }),
  });
  const range = el("div", { id: "range", role: "group", "aria-label": words.t("range") });
  fill(
    element,
    el("label", {}, el("span", {}, words.t("pair")), pair),
    el("label", {}, el("span", {}, words.t("interval")), interval),
    range,
  );

  return {
    show(view) {
      const pairs = new Map(view.pairs.map((each) => [each.pair, each.symbol]));
      const intervals = [...new Set(view.pairs.map((each) => each.interval))];
      options(pair, [...pairs], view.pair);
      options(interval, intervals.map((each) => [each, words.t(`interval_${each}`)]), view.interval);
      const expected = view.status?.expected;
      const focused = range.contains(document.activeElement) && document.activeElement.value;
      fill(
        range,
        ...ranges(view.interval, expected).map((each) =>
          el(
            "button",
            {
              type: "button",
              value: each,
              "aria-pressed": String(each === view.range),
              click: () => onChoose({ range: each }),
            },
            rangeWords(each, words),
          ),
        ),
      );
      if (focused) range.querySelector(`[value="${focused}"]`)?.focus();
    },
  };
}

function options(select, offered, chosen) {
  const same = [...select.options].map((each) => each.value).join() === offered.map(([v]) => v).join();
  if (!same) fill(select, ...offered.map(([value, text]) => el("option", { value }, text)));
  select.value = chosen;
}
