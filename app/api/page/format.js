// Numbers and times for people. Decimals stay texts, so that no digit is lost.

const DAY = 86_400;

/** The decimal text in the language's form: "439605.68" is 439,605.68 or 439.605,68. */
export function decimal(text, lang) {
  if (text == null) return "–";
  const [whole, fraction] = String(text).replace("-", "−").split(".");
  const [group, point] = lang === "pt-BR" ? [".", ","] : [",", "."];
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, group);
  return fraction === undefined ? grouped : grouped + point + fraction;
}

/** The decimal text as a percentage: "0.0942" is 9.4 %. The sign is left out. */
export function percent(text, lang, places = 1) {
  const size = Math.abs(Number(text) * 100);
  const form = { minimumFractionDigits: places, maximumFractionDigits: places };
  return `${new Intl.NumberFormat(lang, form).format(size)} %`;
}

/** The decimal text, rounded to what one reads at a glance; its exact form belongs beside it. */
export function rounded(text, lang) {
  return new Intl.NumberFormat(lang, { maximumSignificantDigits: 8 }).format(text);
}

/** A whole number, grouped. */
export function count(number, lang) {
  return decimal(String(number), lang);
}

/** Date and time of day where the reader is. */
export function dateTime(seconds, lang) {
  return formatted(seconds, lang, { dateStyle: "medium", timeStyle: "short" });
}

/** Time of day where the reader is. */
export function timeOfDay(seconds, lang) {
  return formatted(seconds, lang, { timeStyle: "short" });
}

/** The UTC day, such as "12 Nov 2026"; `parts` are those of Intl.DateTimeFormat. */
export function utcDay(seconds, lang, parts = { dateStyle: "medium" }) {
  return formatted(seconds, lang, { ...parts, timeZone: "UTC" });
}

/** The part of a UTC day that is its year, unless it is that of `now`. */
export function yearUnless(now, seconds) {
  const [one, other] = [now, seconds].map((each) => new Date(each * 1000).getUTCFullYear());
  return one === other ? {} : { year: "numeric" };
}

/** Date and time in UTC, for titles: "2026-11-12 00:00 UTC". */
export function utc(seconds) {
  return `${new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** A bucket for people: a UTC day where it is one, else its local time. */
export function bucket(seconds, step, lang) {
  return step === DAY ? utcDay(seconds, lang) : dateTime(seconds, lang);
}

/** The same where there is little room: "30 Nov", "1 Dec, 14:00"; the year where `now` has another. */
export function shortBucket(seconds, step, now, lang) {
  const day = { day: "numeric", month: "short", ...yearUnless(now, seconds) };
  if (step === DAY) return utcDay(seconds, lang, day);
  return formatted(seconds, lang, { ...day, hour: "2-digit", minute: "2-digit" });
}

/** How long ago: "3 h ago", "just now". */
export function ago(seconds, words) {
  return seconds < 60 ? words.t("just_now") : words.t("ago", { age: age(seconds, words) });
}

/** How long: "5 min", "3 h", "2 days". */
export function age(seconds, words) {
  const units = [["age_days", DAY], ["age_hours", 3600], ["age_minutes", 60]];
  for (const [key, size] of units) {
    if (seconds >= size) return words.t(key, { count: Math.floor(seconds / size) });
  }
  return words.t("age_minutes", { count: 0 });
}

function formatted(seconds, lang, options) {
  const locale = lang === "en" ? "en-GB" : lang;
  return new Intl.DateTimeFormat(locale, options).format(seconds * 1000);
}
