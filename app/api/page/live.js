// Learns what is new: from the service's stream of events, else by asking again every now and then.

const POLL = 15_000;
const POLL_HIDDEN = 120_000;
const TRY_STREAM_AGAIN = 60_000;

/** Milliseconds until a stream that does not open is no reason to wait any longer. */
const OPENING = 2_000;

/** Milliseconds without an event, not even a heartbeat, after which a stream counts as lost. */
const SILENCE = 45_000;

/**
 * Follow what is new. `on.series(pair, interval)`, `on.prices(symbol)` and `on.all()` say what to
 * ask for; `on.state("live" | "polling")` says how it is learnt. `on.all()` is called as soon as
 * the stream is open, so that nothing is missed in between, or as it is clear that there is none.
 */
export function follow(api, on) {
  let source = null;
  let watchdog = null;
  let poll = null;
  let retry = null;
  let opening = null;

  function start() {
    stop();
    // EventSource cannot send a key.
    if (api.hasKey()) {
      asks();
      return;
    }
    source = new EventSource(`${api.root}/stream`);
    opening = setTimeout(asks, OPENING);
    source.addEventListener("open", () => {
      clearTimeout(opening);
      clearInterval(poll);
      poll = null;
      alive();
      on.state("live");
      on.all();
    });
    source.addEventListener("averages", ({ data }) => {
      const { pair, interval } = JSON.parse(data);
      alive();
      on.series(pair, interval);
    });
    source.addEventListener("gaps", ({ data }) => {
      const { pair, interval } = JSON.parse(data);
      alive();
      on.series(pair, interval);
    });
    for (const name of ["price", "anomaly"]) {
      source.addEventListener(name, ({ data }) => {
        alive();
        on.prices(JSON.parse(data).symbol);
      });
    }
    source.addEventListener("heartbeat", alive);
    source.addEventListener("error", () => {
      // A browser connects again by itself, unless the answer was no stream.
      if (source.readyState === EventSource.CLOSED) lost();
      else asks();
    });
  }

  /** Ask now, and then every now and then; unless that is what happens already. */
  function asks() {
    if (poll !== null) return;
    on.state("polling");
    poll = setInterval(on.all, POLL);
    on.all();
  }

  function alive() {
    clearTimeout(watchdog);
    watchdog = setTimeout(lost, SILENCE);
  }

  function lost() {
    stop();
    asks();
    retry = setTimeout(start, TRY_STREAM_AGAIN);
  }

  function stop() {
    source?.close();
    source = null;
    clearTimeout(opening);
    clearTimeout(watchdog);
    clearTimeout(retry);
    clearInterval(poll);
    poll = null;
  }

  /** Nobody looks. A browser has six connections to a service: a stream would keep one of them. */
  function rest() {
    stop();
    poll = setInterval(on.all, POLL_HIDDEN);
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : start()));
  if (document.hidden) {
    rest();
    on.all();
  } else {
    start();
  }
  return { restart: start };
}
