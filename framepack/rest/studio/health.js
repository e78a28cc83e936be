// @ts-check
// Whether the server can compute, in the head of the page.

import { h } from "./dom.js";

const EVERY_MS = 15000;
const SOON_MS = 3000; // while it does not answer, or is not ready
const STATES = /** @type {Record<string, string>} */ ({ ready: "Ready", starting: "The worker is starting", broken: "The worker is broken", stopping: "The server is stopping" });

/** @param {import("./api.js").Api} api */
export function healthView(api) {
  const element = h("span", { class: "health", role: "status" });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;

  async function look() {
    waiting = undefined;
    /** @type {any} */
    const health = await api.json("GET", "/health").catch(() => null);
    show(health);
    waiting = setTimeout(look, element.dataset.state === "ready" ? EVERY_MS : SOON_MS);
  }

  /** @param {any} health null if the server does not answer */
  function show(health) {
    const state = health === null ? "gone" : (health.worker ?? "ready");
    const device = health?.device?.name ?? health?.device?.type;
    const text = health === null ? "The server does not respond" : (health.problem ?? STATES[state] ?? state);
    if (element.textContent !== text) {
      element.textContent = text;
    }
    element.title = device ? `${text} (${device})` : text;
    element.dataset.state = state;
  }

  // Another part of the page has had no answer: look at once, unless that is under way.
  api.onNoResponse = () => {
    if (waiting !== undefined && element.dataset.state !== "gone") {
      clearTimeout(waiting);
      look();
    }
  };
  look();
  return element;
}
