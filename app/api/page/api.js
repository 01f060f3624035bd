// Everything that the page asks of the service.

const KEY = "mms-api-key";

/** The service answered with an error. */
export class Problem extends Error {
  constructor(status, said, retryAfter) {
    super(said.detail ?? said.title ?? `HTTP ${status}`);
    Object.assign(this, { status, code: said.code, id: said.request_id, retryAfter });
  }
}

/** The service did not answer. */
export class Offline extends Error {}

/** `root` is the path before every address, without a slash at its end. */
export function createApi(root) {
  let key = sessionStorage.getItem(KEY);
  let ahead = 0; // the service's clock less ours, in ms

  async function get(path, signal) {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    let reply;
    let body;
    try {
      // The browser revalidates what it holds: a reply that has not changed costs a 304.
      reply = await fetch(root + path, { headers, signal, cache: "no-cache" });
      body = await reply.text();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Offline(String(error));
    }
    const date = Date.parse(reply.headers.get("Date"));
    if (date) ahead = date - Date.now();
    if (!reply.ok) throw problemOf(reply, body);
    return { body, headers: reply.headers, json: () => exactly(body) };
  }

  return {
    root,
    get,
    /** Unix seconds, by the service's clock. */
    now: () => (Date.now() + ahead) / 1000,
    hasKey: () => Boolean(key),
    setKey(text) {
      key = text || null;
      if (key) sessionStorage.setItem(KEY, key);
      else sessionStorage.removeItem(KEY);
    },
  };
}

/** The JSON, with each number that has a fraction as the decimal text that stands there. */
function exactly(body) {
  return JSON.parse(body, (_, value, context) =>
    typeof value === "number" && context?.source.includes(".") ? context.source : value,
  );
}

function problemOf(reply, body) {
  let said = {};
  try {
    said = JSON.parse(body);
  } catch {
    // A proxy's own page: its status has to do.
  }
  return new Problem(reply.status, said, Number(reply.headers.get("Retry-After")) || null);
}
