// @ts-check
// An answer that is no video: a text, a folder of frames.

import { h } from "./dom.js";
import { titleOf } from "./schema.js";

const NOT_SHOWN = new Set(["success", "message"]);

/**
 * What an answer says.
 *
 * @param {Record<string, any>} answer
 * @param {(folder: string) => void} openFrames
 */
export function answerView(answer, openFrames) {
  const values = Object.entries(answer).filter(([name, value]) => !NOT_SHOWN.has(name) && ["string", "number", "boolean"].includes(typeof value));
  const rows = values.flatMap(([name, value]) => [h("dt", {}, titleOf(name)), h("dd", {}, String(value))]);
  const folder = answer.folder_name;
  return h(
    "div",
    { class: "answer" },
    h("p", {}, answer.message ?? "Done."),
    h("dl", {}, ...rows),
    typeof folder === "string" && h("button", { type: "button", class: "primary", onclick: () => openFrames(folder) }, "Open in the frames studio"),
  );
}
