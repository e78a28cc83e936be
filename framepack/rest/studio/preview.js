// @ts-check
// What the present settings make of one frame, or of a second of it, beside the source.

import { ApiError } from "./api.js";
import { h, shown } from "./dom.js";

/** @typedef {import("./pipeline.js").Step} Step */
/** @typedef {{path: string, at: number, operations: Step[]}} Wish what to preview */
/** @typedef {"opened" | "changed"} Reason a person has opened something, or changed a setting or the playhead */
/** @typedef {import("./compare-clip.js").Side} Side */

const PAUSE_MS = 350; // after a change, before the request
const SLOW_SECONDS = 5; // previews that take longer start with the button only
const NO_CLIP = "Choose a clip: here you see one frame of it before and after.";
const READY = "Press Preview to see one frame before and after.";

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
  const url = URL.createObjectURL(new Blob([content], { type: mime }));
  const one = { url, label, mime, width, height, bytes };
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
  const now = h("button", { type: "button", onclick: () => (running ? cancel() : start()) }, "Preview");
  const switches = [h("span", { class: "toggle" }, second, h("label", { for: "second" }, "One second")), h("span", { class: "toggle" }, automatic, h("label", { for: "automatic" }, "Automatic"))];
  const bar = h("div", { class: "bar" }, now, ...switches, status);
  const element = h("div", { class: "preview" }, compare, empty, bar, error, facts, warnings);
  /** @type {AbortController | null} */
  let running = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;
  /** @type {string[]} */
  let urls = [];
  /** @type {Map<string, number>} seconds that the latest preview took, by the types of its operations */
  const took = new Map();
  compare.hidden = true;

  /**
   * Preview soon, if previews are automatic, and if those of the same operations do not take long.
   *
   * @param {Reason} reason
   */
  function changed(reason) {
    clearTimeout(waiting);
    const wanted = wish();
    now.disabled = wanted === null;
    if (!wanted) {
      return;
    }
    const seconds = took.get(kindOf(wanted));
    if (automatic.checked && (reason === "changed" ? (seconds ?? 0) : (seconds ?? Infinity)) < SLOW_SECONDS) {
      waiting = setTimeout(start, PAUSE_MS);
    } else if (running) {
      cancel();
    }
  }

  async function start() {
    cancel();
    const wanted = wish();
    if (!wanted) {
      return;
    }
    const own = (running = new AbortController());
    const begin = performance.now();
    const elapsed = () => (performance.now() - begin) / 1000;
    const ticking = setInterval(() => (status.textContent = `${shown(elapsed(), 0)} s …`), 1000);
    now.textContent = "Cancel";
    status.textContent = "Computing …";
    error.textContent = "";
    element.setAttribute("aria-busy", "true");
    try {
      const body = { video_url: wanted.path, operations: wanted.operations, at_seconds: wanted.at, seconds: second.checked ? 1 : 0 };
      const answer = await api.json("POST", "/postprocess/preview", body, { signal: own.signal });
      if (!own.signal.aborted) {
        took.set(kindOf(wanted), elapsed());
        await show(answer, elapsed());
      }
    } catch (failure) {
      if (!own.signal.aborted) {
        status.textContent = "";
        refused(failure);
      }
    } finally {
      clearInterval(ticking);
      if (running === own) {
        finish();
      }
    }
  }

  /** @param {unknown} failure */
  function refused(failure) {
    const isShown = failure instanceof ApiError && onError(failure);
    error.textContent = isShown ? "" : failure instanceof Error ? failure.message : String(failure);
  }

  /** @param {any} answer @param {number} seconds that it took */
  async function show(answer, seconds) {
    const sides = [side(answer.before, "Before"), side(answer.after, "After")];
    const old = urls;
    urls = sides.map((each) => each.url);
    empty.hidden = true;
    compare.hidden = false;
    await compare.show(sides[0], sides[1]);
    old.forEach((url) => URL.revokeObjectURL(url));
    status.textContent = `Frame ${answer.frame} at ${shown(answer.before.seconds)} s, computed in ${shown(seconds, 1)} s`;
    describe(answer);
    if (sides[0].kind === "image") {
      onBefore(`data:${answer.before.mime_type};base64,${answer.before.base64}`);
    }
    if (seconds > SLOW_SECONDS && automatic.checked) {
      status.textContent += "; press Preview for the next one, because this took long";
    }
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
    running?.abort();
    finish();
  }

  function finish() {
    running = null;
    now.textContent = "Preview";
    element.removeAttribute("aria-busy");
    if (status.textContent?.endsWith("…")) {
      status.textContent = "";
    }
  }

  return {
    element,
    changed,
    cancel,
    /** Show nothing, such as while there is no clip. @param {string} [why] */
    clear(why) {
      cancel();
      compare.clear();
      compare.hidden = true;
      empty.hidden = false;
      empty.textContent = why ?? (wish() ? READY : NO_CLIP);
      facts.textContent = "";
      status.textContent = "";
      error.textContent = "";
      warnings.replaceChildren();
      now.disabled = wish() === null;
    },
  };
}
