// Chooses language and theme, and forgets the API key.

import { addressOf } from "./address.js";
import { el, fill } from "./dom.js";
import { choose, theme, THEMES } from "./theme.js";

const LANGUAGES = { en: "English", "pt-BR": "Português" };

/** `onTheme()` is called once another theme was chosen, `onForget()` to forget the API key. */
export function createSwitches(element, words, api, { onTheme, onForget }) {
  const links = Object.entries(LANGUAGES).map(([lang, name]) =>
    el("a", { lang, hreflang: lang, "aria-current": lang === words.lang ? "true" : null }, name),
  );
  const select = el(
    "select",
    {
      name: "theme",
      "aria-label": words.t("theme"),
      change: () => {
        choose(select.value);
        onTheme();
      },
    },
    ...THEMES.map((each) =>
      el("option", { value: each, selected: each === theme() }, words.t(`theme_${each}`)),
    ),
  );
  const click = () => {
    forget.hidden = true;
    onForget();
  };
  const forget = el("button", { type: "button", hidden: true, click }, words.t("forget_key"));
  fill(element, ...links, select, forget);
  return {
    /** Keep what is shown as the language changes. */
    show() {
      for (const link of links) link.href = addressOf({ lang: link.lang });
      forget.hidden = !api.hasKey();
    },
  };
}
