// Where to go on, how time is told, and whose library draws.

import { el, fill } from "./dom.js";
import { timeOfDay } from "./format.js";

const LIBRARY = "https://www.tradingview.com/";
const LICENSE = "https://www.apache.org/licenses/LICENSE-2.0";

export async function showFoot(element, words, api, hasLibrary) {
  const index = (await api.get("/")).json();
  const ends = timeOfDay(Math.ceil(Date.now() / 86_400_000) * 86_400, words.lang);
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const links = [index.docs && ["docs", index.docs], ["pairs", index.pairs]].filter(Boolean);
  fill(
    element,
    el("p", {}, words.t("utc_days", { ends, zone })),
    el("p", {}, ...links.flatMap(([key, href]) => [el("a", { href }, words.t(`link_${key}`)), " · "]),
      `MMS API ${index.version}`),
    hasLibrary
      ? el(
          "p",
          {},
          words.t("drawn_by"),
          " ",
          el("a", { href: LIBRARY, rel: "noopener" }, "TradingView Lightweight Charts™"),
          ". Copyright © 2026 TradingView, Inc. ",
          el("a", { href: LICENSE, rel: "noopener" }, "Apache License 2.0"),
        )
      : null,
  );
}
