// The address is the state: ?pair=&interval=&range=&view=&lang=.

const NAMES = ["pair", "interval", "range", "view"];

/** What the address asks for; null where it says nothing. */
export function read(search = location.search) {
  const query = new URLSearchParams(search);
  return Object.fromEntries(NAMES.map((name) => [name, query.get(name) || null]));
}

/** The address of this state, with the other parameters that the address has. */
export function addressOf(state, search = location.search) {
  const query = new URLSearchParams(search);
  for (const [name, value] of Object.entries(state)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  return `?${query}`;
}

/** Put this state into the address bar; as a step of its own in the history if `push`. */
export function write(state, push) {
  const to = addressOf(state);
  if (to === location.search) return;
  history[push ? "pushState" : "replaceState"](null, "", to);
}
