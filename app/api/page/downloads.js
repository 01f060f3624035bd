// Saves what is shown: the candles as CSV, the chart as a picture.

import { el } from "./dom.js";

/** Save bytes under a name. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** The name that the service gives a file. */
export function nameOf(headers) {
  return /filename="([^"]+)"/.exec(headers.get("Content-Disposition"))[1];
}

/** The name of a file of what is shown, such as BTC-BRL-1d-180d.png. */
export function fileName({ symbol, interval, range }, ending) {
  return `${symbol}-${interval}-${range}.${ending}`;
}
