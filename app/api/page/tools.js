// What one can do with what is shown: see it as a table, save it.

import { captioned } from "./chart.js";
import { el, fill } from "./dom.js";
import { fileName, nameOf, save } from "./downloads.js";
import { utc } from "./format.js";
import { candlesPath } from "./series.js";

/** `onView(name)` chooses a view, `onFailure(error)` tells; `chart()` is the chart, if any. */
export function createTools(element, words, api, { onView, onFailure, chart }) {
  const csv = el("a", { id: "csv", class: "button", click: saveWithKey }, words.t("csv"));
  const png = el("button", { id: "png", type: "button", click: savePicture }, words.t("png"));
  const toggle = el("button", { id: "view", type: "button", click: switchView });
  const state = el("span", { id: "live", role: "status" });
  fill(element, state);
  let view = null;
  let isTable = false;

  function saveWithKey(event) {
    if (!api.hasKey()) return;
    event.preventDefault();
    api.get(candlesPath(view, api.now(), ".csv")).then(({ body, headers }) => {
      save(new Blob([body], { type: "text/csv" }), nameOf(headers));
    }, onFailure);
  }

  function savePicture() {
    const text = [view.symbol, words.t(`interval_${view.interval}`), view.rangeWords,
      words.t("as_of", { time: utc(view.rows.at(-1).time) })].join(" · ");
    captioned(chart().picture(), text).toBlob((blob) => save(blob, fileName(view, "png")));
  }

  function switchView() {
    onView(isTable ? null : "table");
  }

  return {
    show(shown, asTable) {
      // Before there is something to show, there is nothing to do.
      if (!view) fill(element, toggle, csv, png, state);
      [view, isTable] = [shown, asTable];
      csv.href = api.root + candlesPath(view, view.now, ".csv");
      png.hidden = !chart() || asTable || !view.slots.length;
      toggle.textContent = words.t(asTable ? "as_chart" : "as_table");
    },
    state(kind) {
      const text = words.t(`state_${kind}`);
      if (state.textContent === text) return;
      state.textContent = text;
      state.className = kind;
    },
  };
}
