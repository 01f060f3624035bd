// What stands around the chart. It comes after the first drawing, which needs none of it.

import { createChoices } from "./choices.js";
import { createEvents } from "./events.js";
import { showFoot } from "./foot.js";
import { decimal } from "./format.js";
import { createFreshness } from "./freshness.js";
import { createNotice } from "./notice.js";
import { createPicture } from "./picture.js";
import { createPrices } from "./prices.js";
import { crossings } from "./rows.js";
import { sentenceOf } from "./sentence.js";
import { createSwitches } from "./switches.js";
import { createTable } from "./table.js";
import * as theme from "./theme.js";
import { createTools } from "./tools.js";
import { words } from "./words.js";

export { follow } from "./live.js";

/** `at(id)` is an element of the page; `on` has what the panels call, see `main.js`. */
export function createPanels(at, api, on) {
  const pushed = (changes) => on.choose(changes, true);
  const notice = createNotice(at("notice"), words, { onRetry: on.again, onKey: on.useKey });
  const choices = createChoices(at("choices"), words, pushed);
  const switches = createSwitches(at("switches"), words, api, {
    onTheme: on.look,
    onForget: () => on.useKey(null),
  });
  const table = createTable(at("table"), words);
  const picture = createPicture(at("chart"), words, api.root);
  const freshness = createFreshness(at("freshness"), words, api.root, pushed);
  const prices = createPrices(at("prices"), words);
  const events = createEvents(at("events"), words);
  const tools = createTools(at("tools"), words, api, {
    onView: (view) => pushed({ view }),
    onFailure: on.failed,
    chart: on.chart,
  });
  let footed = false;

  function sentence(view) {
    const { latest, symbol } = view;
    const text = latest ? sentenceOf(view, crossings(view.rows, view.step), words) : "";
    if (at("sentence").textContent !== text) at("sentence").textContent = text;
    const close = latest?.close == null ? symbol : `${symbol} ${decimal(latest.close, words.lang)}`;
    document.title = `${close} · MMS API`;
  }

  return {
    notice,
    state: tools.state,
    show(view, asTable) {
      if (asTable) table.show(view);
      if (view.pairs.length) {
        choices.show(view);
        freshness.show(view);
      }
      sentence(view);
      prices.show(view);
      events.show(view);
      tools.show(view, asTable);
      switches.show();
    },
    picture(view) {
      const text = at("sentence").textContent || view.symbol;
      picture.show(view, theme.seen(), text, view.latest?.timestamp);
    },
    async foot() {
      if (footed) return;
      await showFoot(at("foot"), words, api, document.documentElement.dataset.chart === "library");
      footed = true;
    },
  };
}
