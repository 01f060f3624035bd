// Light, dark, or as the system has it.

const KEY = "mms-theme";
const DARK = matchMedia("(prefers-color-scheme: dark)");

export const THEMES = ["auto", "light", "dark"];

export function theme() {
  const kept = localStorage.getItem(KEY);
  return THEMES.includes(kept) ? kept : "auto";
}

/** What is seen: "light" or "dark". */
export function seen() {
  return theme() === "auto" ? (DARK.matches ? "dark" : "light") : theme();
}

export function choose(name) {
  localStorage.setItem(KEY, name);
  apply();
}

/** Let the style sheet know. */
export function apply() {
  document.documentElement.dataset.theme = seen();
}

/** Call `listener` as the system changes between light and dark. Paper is always light. */
export function follow(listener) {
  // Backgrounds are not printed: text in a light colour could not be read.
  addEventListener("beforeprint", () => {
    document.documentElement.dataset.theme = "light";
  });
  addEventListener("afterprint", apply);
  DARK.addEventListener("change", () => {
    apply();
    listener();
  });
}
