// The page's texts in its language. A text may have {names}, and forms for one and for more.

import en from "./words/en.js";
import pt from "./words/pt-BR.js";

const DICTIONARIES = { en, "pt-BR": pt };

/** The texts in this language: `t(key, values)` gives one; `values.count` chooses its form. */
export function wordsFor(lang) {
  const texts = DICTIONARIES[lang] ?? en;
  const plural = new Intl.PluralRules(lang);

  function t(key, values = {}) {
    let text = texts[key];
    if (text === undefined) throw new Error(`There is no text ${key}.`);
    if (typeof text !== "string") text = text[plural.select(values.count)] ?? text.other;
    return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  }

  return { lang, t };
}
