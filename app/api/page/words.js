// The page's texts in its language. A text may have {names}, and forms for one and for more.

const { lang } = document.documentElement;

// The page names the dictionary of its language, so it is on its way already.
const { default: texts } = await import(`./words/${lang}.js`);
const plural = new Intl.PluralRules(lang);
const numbers = new Intl.NumberFormat(lang);

/** The texts: `t(key, values)` gives one; `values.count` chooses its form. Numbers are grouped. */
export const words = { lang, t };

function t(key, values = {}) {
  let text = texts[key];
  if (text === undefined) throw new Error(`There is no text ${key}.`);
  if (typeof text !== "string") text = text[plural.select(values.count)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? numbers.format(value) : value;
  });
}
