// A picture that the service draws: in the place of the chart, where its library is missing.

import { el, fill } from "./dom.js";

export function createPicture(element, words, root) {
  let shown = null;
  return {
    /** `theme` is "light" or "dark", `text` says what is seen. */
    show({ pair, interval, range }, theme, text, version) {
      const query = new URLSearchParams({ interval, range, theme, lang: words.lang });
      const source = `${root}/${encodeURIComponent(pair)}/chart.svg?${query}`;
      if (shown === source + version) return;
      shown = source + version;
      fill(
        element,
        el("img", { src: source, alt: text, class: "picture" }),
        el("p", { class: "note" }, words.t("picture")),
      );
    },
  };
}
