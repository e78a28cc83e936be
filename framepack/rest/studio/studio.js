// @ts-check
// The clip's way through the page: source, operation, settings, preview, run, result.

import { ApiError } from "./api.js";
import { byId } from "./dom.js";
import { recall, remember } from "./memory.js";
import { operationCards } from "./operations.js";
import { previewView } from "./preview.js";
import "./compare.js";
import { recentView } from "./recent.js";
import { resultView } from "./result.js";
import { runView } from "./run.js";
import { sameAsView } from "./same-as-view.js";
import { SAMPLE } from "./sample.js";
import { operationsOf, stepTypesOf } from "./schema.js";
import { settings } from "./settings.js";
import { sourceView } from "./source.js";

/** @typedef {import("./player.js").Source} Source */
/** @typedef {import("./schema.js").Operation} Operation */
/** @typedef {import("./settings.js").Settings} Settings */

const POSTER = [{ type: "loop", params: {} }]; // leaves the frame as it is, and needs no model

/**
 * Fill the page.
 *
 * @param {import("./api.js").Api} api
 * @param {import("./schema.js").Schema} document the server's OpenAPI document
 * @param {{onSource: (source: Source | null) => void, openFrames: (folder: string) => void, onTitle: (text: string) => void}} listeners
 */
export function studio(api, document, listeners) {
  const operations = operationsOf(document);
  const types = stepTypesOf(document, operations);
  /** @type {Map<string, Promise<Settings>>} */
  const opened = new Map();
  /** @type {Settings | null} */
  let present = null;
  /** @type {Source | null} */
  let source = null;
  /** @type {any} the latest answer */
  let answered = null;

  const cards = operationCards(operations, select);
  const clip = sourceView(api, { onSource, onSample, onTime: () => !run.isBusy() && preview.changed("changed"), onUnplayable: showPoster });
  const preview = previewView(api, { wish, onError: showAtField, onBefore: clip.setPoster });
  const run = runView(api, { onDone, onState });
  const result = resultView(api, { onContinue: goOn, onFrames: listeners.openFrames });
  const recent = recentView(api, { operations: new Set([...operations.map((each) => each.name), "reassemble_frames"]), onOpen: (id) => (location.hash = `job=${id}`) });
  const same = sameAsView(api.url("/").href, call);
  const runButton = /** @type {HTMLButtonElement} */ (byId("run"));
  const runNote = byId("run-note");

  byId("source").append(clip.element);
  byId("operation").append(cards.element);
  byId("run-state").append(run.element);
  byId("preview").append(preview.element);
  byId("result").append(result.element);
  byId("same-as").append(same.element);
  byId("recent").append(recent.element);
  byId("settings-form").addEventListener("submit", (event) => (event.preventDefault(), start()));
  byId("back").addEventListener("click", showPreview);
  window.addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && start());
  window.addEventListener("hashchange", openAddressed);

  /** @param {import("./schema.js").Listing} listing */
  const listings = async ({ path, member }) => (await api.json("GET", path))[member];

  /** @param {Operation} operation */
  async function select(operation) {
    const own = opened.get(operation.name) ?? settings(api, operation, types, listings, () => changed("changed"));
    opened.set(operation.name, own);
    const ready = await own;
    present = ready;
    byId("settings").replaceChildren(ready.element);
    if (source) {
      ready.setSource(source);
    }
    preview.clear();
    changed("opened");
    return ready;
  }

  /** @param {import("./preview.js").Reason} reason */
  function changed(reason) {
    present?.clearErrors();
    const isReady = present !== null && (source !== null || !present.needsSource);
    runButton.disabled = !isReady || run.isBusy();
    runNote.textContent = isReady ? "" : "Choose a clip first.";
    same.changed();
    if (run.isBusy()) {
      preview.cancel();
    } else if (wish()) {
      preview.changed(reason);
    } else {
      preview.clear(present && (source || !present.needsSource) ? present.whyNone() : undefined);
    }
  }

  /** @param {Source | null} given */
  function onSource(given) {
    source = given;
    listeners.onSource(given);
    showPreview();
    if (given) {
      present?.setSource(given);
      showPoster();
    }
    preview.clear();
    changed("opened");
  }

  /** Take settings that suit the sample, unless some are chosen already. */
  function onSample() {
    if (present?.operation.name === SAMPLE.operation && Object.keys(present.body(null)).length === 0) {
      present.set(SAMPLE.body);
    }
  }

  /** Show a frame of a clip that this browser cannot play. */
  async function showPoster() {
    if (!source?.facts || !clip.needsPoster()) {
      return;
    }
    const { path } = source;
    const { before } = await api.json("POST", "/postprocess/preview", { video_url: path, operations: POSTER }).catch(() => ({ before: null }));
    if (before && source?.path === path) {
      clip.setPoster(`data:${before.mime_type};base64,${before.base64}`);
    }
  }

  /** @returns {import("./preview.js").Wish | null} */
  function wish() {
    const steps = source?.facts ? (present?.steps() ?? []) : [];
    return source && steps.length > 0 ? { path: source.path, at: clip.time(), operations: steps } : null;
  }

  /** @returns {import("./same-as.js").Call | null} */
  function call() {
    if (!present || (present.needsSource && !source)) {
      return null;
    }
    const { name, path, method } = present.operation;
    return { operation: name, route: path, method, body: present.body(source), file: source?.file ?? undefined };
  }

  /** @param {ApiError} error */
  function showAtField(error) {
    return error.field !== null && Boolean(present?.setError(error.field, error.message));
  }

  async function start() {
    if (!present || runButton.disabled) {
      return;
    }
    const { operation } = present;
    const body = present.body(source);
    present.clearErrors();
    preview.cancel();
    runButton.disabled = true;
    try {
      const id = await run.start(operation.path, body);
      remember(id, { operation: operation.name, body, source });
      history.pushState(null, "", `#job=${id}`);
      follow(id);
    } catch (error) {
      runButton.disabled = false;
      if (error instanceof ApiError && !showAtField(error)) {
        run.fail(error.message);
      }
    }
  }

  /** @param {string} id */
  function follow(id) {
    run.follow(id);
    clip.pause();
    changed("opened");
    recent.refresh();
    byId("run-state").scrollIntoView({ block: "nearest" });
  }

  /** @param {any} view of a job that has ended */
  async function onDone(view) {
    recent.refresh();
    changed("opened");
    if (view.state === "completed") {
      showAnswer(view.operation, view.result, recall(view.job_id));
    } else if (view.state === "failed") {
      const { error = "The job has failed.", status = 500, code = "unknown" } = view.result ?? {};
      const failure = new ApiError(error, status, code);
      if (!showAtField(failure)) {
        run.fail(error);
      }
    }
  }

  /**
   * Show what an operation has made.
   *
   * @param {string} operation
   * @param {any} answer
   * @param {import("./memory.js").Memory | null} [memory] what this tab knows of the job
   */
  async function showAnswer(operation, answer, memory = null) {
    answered = answer;
    const shown = result.show({ operation, source: memory?.source ? sideOf(memory.source) : null, answer: answer ?? {}, body: memory?.body });
    byId("preview-part").hidden = true;
    byId("result-part").hidden = false;
    if (window.document.activeElement?.matches("body, #run, #run-state *")) { // else a person does something else
      byId("result-part").focus({ preventScroll: true });
      await shown; // what is below it moves until then
      byId("result-part").scrollIntoView({ block: "start" });
    }
  }

  function showPreview() {
    byId("preview-part").hidden = false;
    byId("result-part").hidden = true;
    result.clear();
  }

  /** Use a result as the next source. @param {string} path */
  async function goOn(path) {
    history.pushState(null, "", location.pathname + location.search);
    run.leave();
    await clip.openPath(path, answered?.output_path === path ? api.url(answered.output_url).href : null);
    byId("source-part").scrollIntoView({ block: "start" });
  }

  /** Open the job that the address names. */
  async function openAddressed() {
    const id = new URLSearchParams(location.hash.slice(1)).get("job");
    run.leave();
    showPreview();
    if (!id) {
      changed("opened");
      return;
    }
    const memory = recall(id);
    const operation = operations.find((each) => each.name === memory?.operation);
    if (memory && operation) {
      cards.select(operation.name);
      await (await select(operation)).set(memory.body);
      if (memory.source && memory.source.path !== source?.path) {
        clip.reopen(memory.source);
      }
    }
    follow(id);
  }

  /** @param {import("./run.js").State} state @param {number | null} percent */
  function onState(state, percent) {
    const text = { sending: "…", queued: "Waiting", running: percent === null ? "…" : `${Math.floor(percent)} %` }[String(state)];
    listeners.onTitle(text ?? "");
  }

  cards.select(operations[0].name);
  recent.refresh();
  setInterval(() => window.document.visibilityState === "visible" && recent.refresh(), 10000);
  openAddressed();
  return { showAnswer };
}

/**
 * A source as the left side of a comparison.
 *
 * @param {Source} source
 * @returns {import("./compare-clip.js").Side}
 */
function sideOf({ url, mime, bytes, facts }) {
  const kind = mime.startsWith("image/") ? "image" : "video";
  const { width, height, fps, frames } = facts ?? {};
  return { url: url ?? "", kind, label: "Before", mime, width, height, fps, frames, bytes };
}
