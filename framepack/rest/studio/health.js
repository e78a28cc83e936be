// @ts-check
// Whether the server can compute, in the head of the page.

import { h } from "./dom.js";

const EVERY_MS = 15000;
const STATES = /** @type {Record<string, string>} */ ({ ready: "Ready", starting: "The worker is starting", broken: "The worker is broken", stopping: "The server is stopping" });

/** @param {import("./api.js").Api} api */
export function healthView(api) {
  const element = h("span", { class: "health", role: "status" });

  async function look() {
    /** @type {any} */
    const health = await api.json("GET", "/health").catch(() => null);
    const state = health === null ? "gone" : (health.worker ?? "ready");
    const device = health?.device?.name ?? health?.device?.type;
    const text = health === null ? "The server does not respond" : (health.problem ?? STATES[state] ?? state);
    if (element.textContent !== text) {
      element.textContent = text;
    }
    element.title = device ? `${text} (${device})` : text;
    element.dataset.state = state;
    setTimeout(look, EVERY_MS);
  }
  look();
  return element;
}
