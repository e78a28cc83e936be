// @ts-check
// The file of an answer, and what can be done with it.

import { sizeText } from "./compare-facts.js";
import { h } from "./dom.js";

/** @typedef {import("./api.js").Api} Api */

/**
 * A file in an answer.
 *
 * @typedef {{path: string, name: string, bytes?: number, link: string | null}} Output
 */

/** The file of an answer that has one. @param {any} answer @returns {Output | null} */
export function outputOf(answer) {
  const path = answer.output_path ?? answer.saved_path;
  if (typeof path !== "string") {
    return null;
  }
  const name = answer.output_filename ?? answer.filename ?? path.split("/").pop();
  return { path, name, bytes: answer.output_file_size, link: answer.output_url ?? null };
}

/**
 * @param {Api} api
 * @param {Output} output
 * @param {((path: string) => void) | null} onContinue null if it cannot be a source
 */
export function outputActions(api, { path, name, bytes, link }, onContinue) {
  return [
    link && h("a", { class: "button primary", href: api.url(link), download: name }, "Download"),
    onContinue && h("button", { type: "button", onclick: () => onContinue(path) }, "Continue with this"),
    h("span", { class: "muted" }, bytes ? `${name}, ${sizeText(bytes)}` : name),
  ].filter((each) => each !== null);
}
