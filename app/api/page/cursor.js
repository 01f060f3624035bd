// A cursor that the keyboard moves through the candles, and the words that it reads aloud.

/** Milliseconds of rest before a bucket is read: whoever holds a key down hears the last one. */
const REST = 250;

const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
const ZOOMS = { "+": 0.7, "=": 0.7, "-": 1 / 0.7 };

/**
 * Listen to keys on `element`. `slots()` are the buckets; `move(index or null)` and `zoom(factor)`
 * act, and `words(index)` is what `live` says of a bucket.
 */
export function createCursor(element, live, { slots, move, zoom, words }) {
  let at = null;
  let timer = null;

  function go(index) {
    at = Math.min(Math.max(index, 0), slots().length - 1);
    move(at);
    clearTimeout(timer);
    timer = setTimeout(() => {
      live.textContent = words(at);
    }, REST);
  }

  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !slots().length) return;
    const last = slots().length - 1;
    if (event.key in STEPS) go(at === null ? last : at + STEPS[event.key]);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(last);
    else if (event.key in ZOOMS) zoom(ZOOMS[event.key]);
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
  });
  element.addEventListener("blur", leave);

  function leave() {
    at = null;
    clearTimeout(timer);
    move(null);
  }
}
