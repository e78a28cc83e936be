// @ts-check
// The result of a job: before and after under one divider, warnings, download, and what to do next.

import "./compare.js";
import { h } from "./dom.js";
import { latestOnly } from "./latest.js";
import { newLink, outputActions, outputOf } from "./result-output.js";
import { valuesView } from "./result-values.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./compare-clip.js").Side} Side */
/** @typedef {import("./compare-timeline.js").Timing} Timing */
/** @typedef {import("./result-output.js").Output} Output */

/**
 * @typedef {object} Shown
 * @property {string} operation
 * @property {Side | null | Promise<Side>} source the side before, if the page has it
 * @property {any} answer of the operation
 * @property {Record<string, any>} [body] of the request
 * @property {string | null} [jobId] of the job that has given the answer
 */

/** @type {Record<string, string>} the types that are shown, by extension; others are downloaded */
const TYPES = {
  mp4: "video/mp4",
  webm: "video/webm",
  mov: "video/quicktime",
  gif: "image/gif",
  webp: "image/webp",
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
};

/**
 * @param {Api} api
 * @param {{onContinue: (path: string) => void, onFrames?: (folder: string) => void}} listeners
 *   `onContinue`: use this output as the next source; `onFrames`: open this folder of frames
 */
export function resultView(api, { onContinue, onFrames }) {
  const compare = /** @type {import("./compare.js").CompareView} */ (document.createElement("compare-view"));
  const message = h("p", { class: "result-message" });
  const warnings = h("ul", { class: "warnings result-warnings", "aria-label": "Warnings" });
  const actions = h("div", { class: "result-actions" });
  const values = h("div", { class: "result-values" });
  const element = h("div", { class: "result", hidden: true }, message, compare, values, warnings, actions);
  const shows = latestOnly();

  const clear = () => {
    shows.end();
    compare.clear();
    element.hidden = true;
  };

  /** @param {Shown} shown */
  const show = async ({ operation, source, answer, body = {}, jobId = null }) => {
    const signal = shows.begin();
    const output = outputOf(answer);
    const side = output && sideOf(api, output, jobId);
    element.hidden = false;
    message.textContent = answer.message ?? "";
    warnings.replaceChildren(...(answer.warnings ?? []).map((/** @type {string} */ each) => h("li", {}, each)));
    actions.replaceChildren(...(output ? outputActions(api, output, side && onContinue, jobId) : []));
    values.replaceChildren(...(output ? [] : [valuesView(api, answer, { onContinue, onFrames }, jobId)]));
    if (!output || !side) {
      compare.clear();
      return;
    }
    const showBoth = async () => {
      const before = await source;
      if (!signal.aborted) {
        await compare.show(before?.url ? before : null, side, timingOf(operation, body));
      }
    };
    const [, details] = await Promise.all([
      showBoth(),
      // What the browser cannot tell of a video, such as its exact rate, is only for the label: it may fail.
      side.kind === "video" ? api.json("POST", "/postprocess/analyze", { video_url: output.path }, { signal }).catch(() => null) : null,
    ]);
    if (!signal.aborted && details) {
      const { fps, total_frames: frames } = details.analysis;
      compare.describe([{}, { fps, frames }]);
    }
  };

  return { element, show, clear };
}

/** @param {Api} api @param {Output} output @param {string | null} jobId @returns {Side | null} null if browsers do not show such files */
function sideOf(api, { path, name, bytes, link }, jobId) {
  const mime = TYPES[name.split(".").pop()?.toLowerCase() ?? ""];
  if (!mime || !link) {
    return null;
  }
  const kind = mime.startsWith("video/") ? "video" : "image";
  const renew = jobId === null ? undefined : () => newLink(api, jobId, path);
  return { url: String(api.url(link)), kind, label: "After", mime, bytes, renew };
}

/**
 * What is shown together, if the result is longer or shorter than its source.
 *
 * @param {string} operation
 * @param {Record<string, any>} body
 * @returns {Timing}
 */
function timingOf(operation, body) {
  if (operation === "join") {
    return "time";
  }
  const loop = operation === "loop" ? body : body.operations?.find((/** @type {any} */ step) => step.type === "loop")?.params;
  if (!loop) {
    return "moment";
  }
  return /ping/i.test(loop.loop_type ?? "") ? "round trip" : "repeat";
}
