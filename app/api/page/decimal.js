// Exact decimals: the API's texts as whole numbers of 1e-8, which BigInt compares without rounding.

const PLACES = 8;

/** The decimal text, such as "439605.68", in 1e-8. Further places are cut off. */
export function scaled(text) {
  const [whole, fraction = ""] = String(text).split(".");
  return BigInt(whole + fraction.slice(0, PLACES).padEnd(PLACES, "0"));
}

/** -1, 0 or 1: how the first decimal text compares with the second. */
export function compare(a, b) {
  const difference = scaled(a) - scaled(b);
  return difference === 0n ? 0 : difference > 0n ? 1 : -1;
}

/** How much `value` differs from `base`, relative to it, as a decimal text with four places. */
export function change(value, base) {
  const to = scaled(base);
  if (to === 0n) return null;
  const difference = (scaled(value) - to) * 100000n;
  const rounded = (difference / to + (difference >= 0n ? 5n : -5n)) / 10n;
  const digits = String(rounded < 0n ? -rounded : rounded).padStart(5, "0");
  return `${rounded < 0n ? "-" : ""}${digits.slice(0, -4)}.${digits.slice(-4)}`;
}
