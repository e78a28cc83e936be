// @ts-check
// What the present settings make of one frame, or of a second of it, beside the source.

import { ApiError } from "./api.js";
import { errorProse, h, shown } from "./dom.js";
import { latestOnly } from "./latest.js";

/** @typedef {import("./pipeline.js").Step} Step */
/** @typedef {{path: string, at: number, operations: Step[]}} Wish what to preview */
/** @typedef {"opened" | "changed"} Reason a person has opened something, or changed a setting or the playhead */
/** @typedef {import("./compare-clip.js").Side} Side */

const PAUSE_MS = 350; // after a change, before the request
const SLOW_SECONDS = 5; // previews that take longer start with the button only
const NO_CLIP = "Choose a clip: here you see one frame of it before and after.";
const READY = "Press Preview to see one frame before and after.";
const OLD = "This is out of date. Press Preview for a new one.";

/**
 * A file of the answer as a side of the comparison.
 *
 * @param {any} file
 * @param {string} label
 * @returns {Side}
 */
function side(file, label) {
  const { mime_type: mime, width, height, size_bytes: bytes } = file;
  const content = Uint8Array.from(atob(file.base64), (char) => char.charCodeAt(0));
  const blob = new Blob([content], { type: mime });
  const url = URL.createObjectURL(blob);
  const one = { url, blob, label, mime, width, height, bytes };
  return file.frames > 1 ? { ...one, kind: kindOfFile(mime), fps: file.fps, frames: file.frames } : { ...one, kind: kindOfFile(mime) };
}

/** @param {string} mime @returns {"video" | "image"} */
const kindOfFile = (mime) => (mime.startsWith("video/") ? "video" : "image");

/** The types of the operations of a preview. @param {Wish} wanted */
const kindOf = ({ operations }) => operations.map((each) => each.type).join();

/**
 * The part of the page that previews.
 *
 * @param {import("./api.js").Api} api
 * @param {{wish: () => Wish | null, onError: (error: ApiError) => boolean, onBefore: (image: string) => void}} listeners
 *   `wish`: what to preview now; `onError`: shows an error at its field, if it has one
 */
export function previewView(api, { wish, onError, onBefore }) {
  const compare = /** @type {import("./compare.js").CompareView} */ (document.createElement("compare-view"));
  const empty = h("p", { class: "empty" }, NO_CLIP);
  const status = h("p", { class: "status", role: "status" });
  const error = h("p", { class: "error", role: "alert" });
  const facts = h("p", { class: "muted" });
  const warnings = h("ul", { class: "warnings", "aria-label": "Warnings" });
  const automatic = h("input", { type: "checkbox", class: "switch", id: "automatic", checked: true, onchange: () => automatic.checked && start() });
  const second = h("input", { type: "checkbox", class: "switch", id: "second", onchange: () => start() });
  const now = h("button", { type: "button", onclick: () => (running !== null ? cancel() : start()) }, "Preview");
  const switches = [h("span", { class: "toggle" }, second, h("label", { for: "second" }, "One second")), h("span", { class: "toggle" }, automatic, h("label", { for: "automatic" }, "Automatic"))];
  const bar = h("div", { class: "bar" }, now, ...switches, status);
  const element = h("div", { class: "preview" }, compare, empty, bar, error, facts, warnings);
  const previews = latestOnly();
  /** @type {string | null} the key of what is computed */
  let running = null;
  /** @type {{key: string, text: string} | null} what is shown: its key, and what is said of it */
  let present = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;
  /** @type {string[]} */
  let urls = [];
  /** @type {Map<string, number>} seconds that the latest preview took, by the types of its operations */
  const took = new Map();
  compare.hidden = true;

  /** What a preview depends on. @param {Wish | null} wanted */
  const keyOf = (wanted) => JSON.stringify([wanted, second.checked]);

  /** Say of what is shown whether it is still what the settings make of this frame. */
  function tell() {
    const isOld = present !== null && present.key !== keyOf(wish());
    element.classList.toggle("old", isOld);
    facts.hidden = warnings.hidden = isOld;
    if (running === null) {
      const old = waiting === undefined ? OLD : ""; // the next one comes by itself
      status.textContent = isOld ? old : (present?.text ?? "");
    }
  }

  /**
   * Preview soon, if previews are automatic, and if those of the same operations do not take long.
   *
   * @param {Reason} reason
   */
  function changed(reason) {
    const wanted = wish();
    now.disabled = wanted === null;
    if (wanted) {
      empty.textContent = READY;
    }
    if (running === keyOf(wanted)) {
      return;
    }
    cancel();
    error.textContent = "";
    if (!wanted || present?.key === keyOf(wanted)) {
      return;
    }
    const seconds = took.get(kindOf(wanted));
    if (automatic.checked && (reason === "changed" ? (seconds ?? 0) : (seconds ?? Infinity)) < SLOW_SECONDS) {
      waiting = setTimeout(start, PAUSE_MS);
      tell();
    }
  }

  async function start() {
    cancel();
    const wanted = wish();
    if (!wanted) {
      return;
    }
    const signal = previews.begin();
    const key = keyOf(wanted);
    running = key;
    const begin = performance.now();
    const elapsed = () => (performance.now() - begin) / 1000;
    const ticking = setInterval(() => (status.textContent = `${shown(elapsed(), 0)} s …`), 1000);
    now.textContent = "Cancel";
    status.textContent = "Computing …";
    error.textContent = "";
    element.setAttribute("aria-busy", "true");
    try {
      const body = { video_url: wanted.path, operations: wanted.operations, at_seconds: wanted.at, seconds: second.checked ? 1 : 0 };
      const answer = await api.json("POST", "/postprocess/preview", body, { signal });
      const seconds = elapsed();
      took.set(kindOf(wanted), seconds);
      present = { key, text: sentence(answer, seconds) };
      await show(answer, signal);
    } catch (failure) {
      if (!signal.aborted) {
        refused(failure, wanted);
      }
    } finally {
      clearInterval(ticking);
      if (!signal.aborted) {
        finish();
      }
    }
  }

  /** @param {unknown} failure @param {Wish} wanted */
  function refused(failure, wanted) {
    const isShown = failure instanceof ApiError && onError(failure);
    const message = isShown ? "" : failure instanceof Error ? failure.message : String(failure);
    error.replaceChildren(...errorProse(message, wanted.operations.length === 1));
  }

  /** @param {any} answer @param {AbortSignal} signal */
  async function show(answer, signal) {
    const sides = [side(answer.before, "Before"), side(answer.after, "After")];
    const old = urls;
    urls = sides.map((each) => each.url);
    empty.hidden = true;
    compare.hidden = false;
    describe(answer);
    await compare.show(sides[0], sides[1]);
    old.forEach((url) => URL.revokeObjectURL(url));
    if (!signal.aborted && sides[0].kind === "image") {
      onBefore(`data:${answer.before.mime_type};base64,${answer.before.base64}`);
    }
  }

  /** @param {any} answer @param {number} seconds that it took */
  function sentence({ frame, before }, seconds) {
    const isSlow = seconds > SLOW_SECONDS && automatic.checked;
    const next = isSlow ? "; press Preview for the next one, because this took long" : "";
    return `Frame ${frame} at ${shown(before.seconds)} s, computed in ${shown(seconds, 1)} s${next}`;
  }

  /** @param {any} answer */
  function describe({ result, warnings: sentences = [] }) {
    const length = result?.duration_seconds ? `, ${shown(result.duration_seconds)} s` : "";
    const size = result && `${result.width} × ${result.height}, ${shown(result.fps)} fps${length}, ${result.format}`;
    facts.textContent = size ? `The whole clip becomes ${size}.` : "";
    warnings.replaceChildren(...(sentences ?? []).map((/** @type {string} */ each) => h("li", {}, each)));
  }

  function cancel() {
    clearTimeout(waiting);
    waiting = undefined;
    previews.end();
    finish();
  }

  function finish() {
    running = null;
    now.textContent = "Preview";
    element.removeAttribute("aria-busy");
    tell();
  }

  return {
    element,
    changed,
    /** Compute nothing now. What is shown is out of date if the settings have changed since. */
    cancel,
    /** Show nothing, such as while there is no clip. @param {string} [why] */
    clear(why) {
      present = null;
      cancel();
      compare.clear();
      compare.hidden = true;
      empty.hidden = false;
      empty.textContent = why ?? (wish() ? READY : NO_CLIP);
      facts.textContent = "";
      error.textContent = "";
      warnings.replaceChildren();
      now.disabled = wish() === null;
    },
  };
}
