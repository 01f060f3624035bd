// One place for what the reader must know now, and what to do about it.

import { Offline } from "./api.js";
import { el, fill } from "./dom.js";
import { timeOfDay } from "./format.js";

/** `onRetry()` asks again, `onKey(text)` takes an API key. */
export function createNotice(element, words, { onRetry, onKey }) {
  let since = null;
  let kind = null;

  function say(what, ...children) {
    // The same notice twice would be read aloud twice, and would empty a field that is being typed.
    if (kind === what) return;
    kind = what;
    element.className = what.split(" ")[0];
    fill(element, ...children);
  }

  const retry = () =>
    el("button", { type: "button", click: onRetry }, words.t("retry"));

  return {
    loading: () => say("loading", el("p", {}, words.t("loading"))),
    clear() {
      since = null;
      say("");
    },
    /** `text` says what to do, `reason` is what the service says of it, in English. */
    empty: (text, reason) =>
      say(
        `empty ${text} ${reason}`,
        text && el("p", {}, text),
        reason && el("p", { lang: "en" }, reason),
      ),
    /** What the address asked for and is not there: `texts` are whole sentences. */
    ignored: (texts) => say("ignored", ...texts.map((text) => el("p", {}, text))),
    failed(error, now) {
      if (error instanceof Offline) {
        since ??= now;
        const at = timeOfDay(since, words.lang);
        say("offline", el("p", {}, words.t("offline", { since: at })), retry());
      } else if (error.status === 401 || error.status === 403) {
        say("key", el("p", {}, words.t("key_needed")), el("p", { lang: "en" }, error.message), form());
      } else {
        const id = error.id ? words.t("request_id", { id: error.id }) : "";
        const key = error.status === 429 ? "too_many" : error.status >= 500 ? "failing" : "problem";
        say(
          `problem ${error.code}`,
          el("p", {}, words.t(key, { seconds: error.retryAfter ?? 15 })),
          el("p", { lang: "en" }, error.message, " ", el("small", {}, id)),
          retry(),
        );
      }
    },
  };

  function form() {
    const field = el("input", { type: "password", name: "key", autocomplete: "off", required: true });
    return el(
      "form",
      {
        submit: (event) => {
          event.preventDefault();
          kind = null;
          onKey(field.value.trim());
        },
      },
      el("label", {}, words.t("key"), " ", field),
      el("button", {}, words.t("use_key")),
    );
  }
}
