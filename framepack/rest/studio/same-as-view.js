// @ts-check
// "The same as": the present request for other programs, to copy.

import { h } from "./dom.js";
import { sameAs } from "./same-as.js";

/**
 * The texts, of which one is shown.
 *
 * @param {string} server its address
 * @param {() => import("./same-as.js").Call | null} call the present request
 */
export function sameAsView(server, call) {
  let chosen = 0;
  const tabs = h("div", { class: "segments", role: "group", "aria-label": "Program" });
  const code = h("code");
  const copied = h("span", { role: "status", class: "muted" });
  const copy = h("button", { type: "button", onclick: copyText }, "Copy");
  const pre = h("pre", { tabindex: 0, role: "group", "aria-label": "The request" }, code);
  const none = h("p", { class: "muted" }, "Choose a clip first.");
  const text = h("div", {}, h("div", { class: "row" }, tabs, h("span", {}, copied, copy)), pre);
  const element = h("details", { class: "same-as", ontoggle: show }, h("summary", {}, "The same from a program"), none, text);

  function show() {
    copied.textContent = "";
    const present = element.open ? call() : null;
    none.hidden = present !== null;
    text.hidden = present === null;
    if (!present) {
      return;
    }
    const texts = sameAs(present, server);
    chosen = Math.min(chosen, texts.length - 1);
    code.textContent = texts[chosen].text;
    tabs.replaceChildren(
      ...texts.map(({ name }, index) => h("button", { type: "button", "aria-pressed": String(index === chosen), onclick: () => choose(index) }, name)),
    );
  }

  /** @param {number} index */
  function choose(index) {
    chosen = index;
    show();
    tabs.querySelectorAll("button")[index]?.focus();
  }

  async function copyText() {
    try {
      await navigator.clipboard.writeText(code.textContent ?? "");
      copied.textContent = "Copied ";
    } catch {
      getSelection()?.selectAllChildren(code); // a page without a secure context may not copy
      copied.textContent = "Selected: press Ctrl+C ";
    }
  }

  return { element, changed: show };
}
