// @ts-check
// Answers that are no file: a text, a folder of frames, a list of files, values.

import { h } from "./dom.js";
import { outputActions, outputOf } from "./result-output.js";

/** @typedef {import("./api.js").Api} Api */

/** Fields that hold a text for people to use elsewhere. */
const TEXTS = ["caption", "enhanced_prompt"];
const NOT_VALUES = new Set(["success", "message", "warnings", "metrics", ...TEXTS]);

/**
 * @param {Api} api
 * @param {any} answer
 * @param {{onContinue: (path: string) => void, onFrames?: (folder: string) => void}} listeners
 * @param {string | null} jobId
 * @returns {HTMLElement}
 */
export function valuesView(api, answer, { onContinue, onFrames }, jobId) {
  if (Array.isArray(answer.results)) {
    return h("ol", { class: "result-list" }, ...answer.results.map((/** @type {any} */ each) => item(api, each, onContinue, jobId)));
  }
  const texts = TEXTS.filter((name) => typeof answer[name] === "string").map((name) => textView(answer[name]));
  const folder = answer.folder_name ?? null;
  return h(
    "div",
    { class: "result-values" },
    ...texts,
    answer.contact_sheet_url && h("img", { class: "result-sheet", src: api.url(answer.contact_sheet_url), alt: `Frames of the folder ${folder}` }),
    table(answer),
    folder && onFrames && h("button", { type: "button", class: "primary", onclick: () => onFrames(folder) }, "Open in the frames studio"),
  );
}

/**
 * One file of several.
 *
 * @param {Api} api
 * @param {any} result
 * @param {(path: string) => void} onContinue
 * @param {string | null} jobId
 */
function item(api, result, onContinue, jobId) {
  const output = outputOf(result);
  const sentences = result.warnings ?? [];
  return h(
    "li",
    {},
    !output && h("p", { class: "error" }, result.error ?? "There is no output."),
    sentences.length > 0 && h("ul", { class: "warnings" }, ...sentences.map((/** @type {string} */ each) => h("li", {}, each))),
    output && h("div", { class: "result-actions" }, ...outputActions(api, output, onContinue, jobId)),
  );
}

/** @param {string} text */
function textView(text) {
  const copy = h("button", { type: "button", onclick: copyText }, "Copy");
  const status = h("span", { class: "muted", role: "status" });
  async function copyText() {
    try {
      await navigator.clipboard.writeText(text);
      status.textContent = "Copied.";
    } catch {
      status.textContent = "This browser does not let the page copy: select the text instead.";
    }
  }
  return h("div", { class: "result-text" }, h("p", {}, text), h("div", { class: "result-actions" }, copy, status));
}

/** Simple values, in a list of terms. @param {any} answer */
function table(answer) {
  const rows = Object.entries(answer)
    .filter(([name, value]) => !NOT_VALUES.has(name) && !/(_url|_base64)$/.test(name) && ["string", "number", "boolean"].includes(typeof value))
    .flatMap(([name, value]) => [h("dt", {}, title(name)), h("dd", {}, String(value))]);
  return rows.length > 0 && h("dl", { class: "result-table" }, ...rows);
}

/** @param {string} name of a field */
function title(name) {
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}
