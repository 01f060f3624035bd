// Starts the page: reads the address, loads, shows, and follows what is new.

import * as address from "./address.js";
import { createApi } from "./api.js";
import { createChart, loadLibrary } from "./chart.js";
import { createCursor } from "./cursor.js";
import { createLegend, spoken } from "./legend.js";
import { defaultRange, ranges, rangeWords } from "./ranges.js";
import { loadRecords, loadRows, slotsOf } from "./series.js";
import * as theme from "./theme.js";
import { words } from "./words.js";

const PRICES = 60;

/** Milliseconds between two looks at the clock: ages grow, and buckets end. */
const TICK = 30_000;

/** Milliseconds after which what stands around the chart does not wait for the first drawing. */
const PATIENCE = 300;

/** Milliseconds in which several pieces of news are one reason to ask again. */
const GATHER = 200;

const page = document.documentElement;
const at = (id) => document.getElementById(id);
const api = createApi(page.dataset.root);

// Before anything else: all other work is done while the candles are on their way.
let choice = chosen(address.read());
const first = load(choice);
let library = page.dataset.chart === "library" ? loadLibrary() : Promise.reject(new Error("none"));

/** What is known of a series beside its candles; at first nothing. */
const NO_RECORDS = { gaps: [], revisions: [], refusals: [], latest: null };

/** What is known, and `of` which choice; `rows` null: nothing yet. */
const known = { rows: null, reason: null, of: null, ...NO_RECORDS };
let pairs = [];
let symbols = [];
let ignored = [];
let view = null;
let chart = null;
let cursor = null; // the bucket that the reader points to
let abort = new AbortController();

theme.apply();
const legend = createLegend(at("legend"), words);

/** What stands around the chart; null until it is there. */
let panels = null;

/** The choice that the address makes, with what the page begins with where it says nothing. */
function chosen({ pair, interval, range, view: shown }) {
  const kind = interval ?? page.dataset.interval;
  return {
    pair: pair ?? page.dataset.pair,
    interval: kind,
    range: range ?? defaultRange(kind),
    view: shown,
  };
}

/** Whether two choices have the same candles. */
function isSame(one, other) {
  return ["pair", "interval", "range"].every((name) => one[name] === other[name]);
}

function load(what, signal) {
  return loadRows(api, what, signal);
}

/** Correct what the address asks for and is not served, and say so. */
function corrected(what) {
  const wrong = (key, value) => ignored.push(words.t(key, { value }));
  const text = String(what.pair).toUpperCase();
  let pair = pairs.find((each) => each.pair === text || each.symbol === text)?.pair;
  if (!pair) {
    wrong("pair_ignored", what.pair);
    pair = pairs[0].pair;
  }
  const intervals = pairs.filter((each) => each.pair === pair).map((each) => each.interval);
  let { interval, range } = what;
  if (!intervals.includes(interval)) {
    wrong("interval_ignored", interval);
    interval = intervals.includes(page.dataset.interval) ? page.dataset.interval : intervals[0];
  }
  const expected = pairs.find((each) => each.pair === pair && each.interval === interval).expected;
  if (range && !ranges(interval, expected).includes(range)) {
    wrong("range_ignored", range);
    range = null;
  }
  return { ...what, pair, interval, range: range ?? defaultRange(interval) };
}

function choose(changes, push) {
  const before = choice;
  ignored = [];
  choice = corrected({ ...choice, ...changes });
  address.write(choice, push);
  if (isSame(before, choice)) show();
  else reload();
}

/** Load the chosen series anew. What is shown stays until there is something else to show. */
async function reload() {
  abort.abort();
  abort = new AbortController();
  const { signal } = abort;
  const asked = choice;
  if (known.of && !isSame(known.of, asked)) at("series").classList.add("waiting");
  try {
    take(await load(asked, signal), asked);
    const records = await loadRecords(api, asked, signal);
    if (signal.aborted) return;
    Object.assign(known, records);
    at("series").classList.remove("waiting");
    calm();
    show();
  } catch (error) {
    if (!signal.aborted) failed(error);
  }
}

/** Show the candles of a choice. The records of another series are not theirs. */
function take(loaded, of) {
  const same = known.of && known.of.pair === of.pair && known.of.interval === of.interval;
  Object.assign(known, same ? {} : NO_RECORDS, loaded, { of });
  show();
}

async function loadPairs() {
  pairs = (await api.get("/pairs")).json().pairs;
}

async function loadPrices(only = null) {
  const names = only ? [only] : (await api.get("/supported-symbols")).json().symbols;
  const loaded = await Promise.all(
    names.map(async (symbol) => {
      const name = encodeURIComponent(symbol);
      const [history, anomaly] = await Promise.all([
        api.get(`/history/${name}?limit=${PRICES}`),
        api.get(`/anomaly/${name}`),
      ]);
      return { symbol, history: history.json(), anomaly: anomaly.json() };
    }),
  );
  if (only) symbols = symbols.map((each) => (each.symbol === only ? loaded[0] : each));
  else symbols = loaded;
  show();
}

function failed(error) {
  at("series").classList.remove("waiting");
  panels.notice.failed(error, api.now());
  if (error.retryAfter) setTimeout(again, error.retryAfter * 1000);
}

/** Nothing is wrong: at most the address was. */
function calm() {
  if (ignored.length) panels.notice.ignored(ignored);
  else if (known.latest.timestamp == null) empty();
  else if (!known.rows.length) panels.notice.empty(null, known.reason);
  else panels.notice.clear();
}

/** Nothing is stored of this series: why, and where nothing is at all, what an operator types. */
async function empty() {
  panels.notice.empty(words.t("empty"), known.reason);
  if (pairs.some((each) => each.as_of)) return;
  const { message } = (await api.get("/readyz")).json();
  if (message) panels.notice.empty(words.t("empty"), `${known.reason} ${message}`);
}

/** Ask for everything; conditional requests make that cheap. */
async function again() {
  try {
    await loadPairs();
    choice = corrected(choice);
    address.write(choice, false);
    await Promise.all([reload(), loadPrices(), panels.foot()]);
  } catch (error) {
    failed(error);
  }
}

/** Use this API key from now on, or none where it is null. */
function useKey(text) {
  api.setKey(text);
  live.restart();
}

/** Show everything that is known, as of now. */
function show() {
  if (known.rows === null) return;
  const { pair, interval, range } = known.of;
  const status = pairs.find((each) => each.pair === pair && each.interval === interval);
  const now = api.now();
  view = {
    ...known,
    ...known.of,
    ...slotsOf(known, known.of, now),
    pairs,
    symbols,
    status,
    now,
    symbol: status?.symbol ?? known.latest?.symbol ?? pair,
    rangeWords: rangeWords(range, words),
    key: `${pair} ${interval} ${range}`,
  };
  const asTable = choice.view === "table";
  at("table").hidden = !asTable;
  at("drawing").hidden = asTable;
  panels?.show(view, asTable);
  draw();
}

function draw() {
  if (chart) chart.show(view);
  else if (!library) panels?.picture(view);
  readLegend();
}

function readLegend() {
  const pointed = view.slots.find((slot) => slot.time === cursor);
  legend.show(pointed ?? view.slots.findLast((slot) => slot.row), view);
}

function point(index) {
  cursor = index === null ? null : view.slots[index].time;
  readLegend();
}

function look() {
  chart?.look();
  if (view) draw();
}

/** Several pieces of news within a moment are one reason to ask. */
function gathering(act) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      act();
    }, GATHER);
  };
}

let live = null;

async function start() {
  at("chart").setAttribute("aria-label", words.t("chart_label"));
  at("hint").textContent = words.t("hint");
  createCursor(at("chart"), at("spoken"), {
    slots: () => view?.slots ?? [],
    move(index) {
      point(index);
      if (index === null) chart?.unpoint();
      else chart?.point(index);
    },
    zoom: (factor) => chart?.zoom(factor),
    words: (index) => spoken(view.slots[index], view, words),
  });
  const brought = library.then(
    (loaded) => {
      chart = createChart(at("chart"), loaded, words, point);
      if (view) show();
    },
    () => {
      library = null;
      if (view) show();
    },
  );
  // What is wrong with this first request, the next one says: it comes at once.
  const asked = choice;
  const taken = first.then((loaded) => known.of ?? take(loaded, asked), () => {});
  await Promise.race([
    Promise.all([brought, taken]),
    new Promise((done) => setTimeout(done, PATIENCE)),
  ]);

  const { createPanels, follow } = await import("./panels.js");
  panels = createPanels(at, api, {
    choose,
    again,
    useKey,
    look,
    failed,
    chart: () => chart,
  });
  if (view) show();
  else panels.notice.loading();
  const pairsAgain = gathering(() => loadPairs().then(show, failed));
  const seriesAgain = gathering(() => reload());
  const due = new Set();
  const pricesAgain = gathering(() => {
    for (const symbol of due) loadPrices(symbol).catch(failed);
    due.clear();
  });
  live = follow(api, {
    series(pair, interval) {
      if (pair === choice.pair && interval === choice.interval) seriesAgain();
      pairsAgain();
    },
    prices(symbol) {
      due.add(symbol);
      pricesAgain();
    },
    all: again,
    state: panels.state,
  });
  window.addEventListener("popstate", () => choose(chosen(address.read()), false));
  window.addEventListener("online", again);
  theme.follow(look);
  setInterval(show, TICK);
}

start();
