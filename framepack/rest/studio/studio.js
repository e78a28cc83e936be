// @ts-check
// The clip's way through the page: source, operation, settings, preview, run, result.

import { ApiError } from "./api.js";
import { byId, h } from "./dom.js";
import { latestOnly } from "./latest.js";
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
import { sideOf } from "./source-side.js";
import { sourceView } from "./source.js";

/** @typedef {import("./player.js").Source} Source */
/** @typedef {import("./schema.js").Operation} Operation */
/** @typedef {import("./settings.js").Settings} Settings */

const LOADING = "Loading the settings …";

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
  const [forms, jobs] = [latestOnly(), latestOnly()];

  const cards = operationCards(operations, select);
  const clip = sourceView(api, { onSource, onSample, onTime: () => updatePreview("changed") });
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

  /**
   * Show the settings of an operation, and return them; null if those of another one are wanted in the meantime.
   *
   * @param {Operation} operation
   * @returns {Promise<Settings | null>}
   */
  async function select(operation) {
    const signal = forms.begin();
    const known = opened.get(operation.name);
    const own = known ?? settings(api, operation, types, listings, () => changed("changed"));
    opened.set(operation.name, own);
    present = null;
    run.isBusy() || run.leave(); // and with it, why an earlier job has failed
    byId("settings").replaceChildren(h("p", { class: "help" }, LOADING));
    preview.clear();
    changed("opened");
    const ready = await own;
    if (signal.aborted) {
      return null;
    }
    present = ready;
    if (known) {
      ready.refresh();
    }
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
    const needsSource = source === null && (present?.needsSource ?? true);
    runNote.textContent = needsSource ? "Choose a clip first." : (present?.misfit(source) ?? "");
    runButton.disabled = present === null || runNote.textContent !== "" || run.isBusy();
    byId("back").textContent = reason === "changed" ? "Preview these settings" : "Back to the preview";
    same.changed();
    updatePreview(reason);
  }

  /** @param {import("./preview.js").Reason} reason */
  function updatePreview(reason) {
    if (wish()) {
      run.isBusy() ? preview.cancel() : preview.changed(reason);
    } else if (present) {
      preview.clear(source || !present.needsSource ? present.whyNone(source) : undefined);
    } else {
      preview.clear(source ? LOADING : undefined);
    }
  }

  /** @param {Source | null} given */
  function onSource(given) {
    source = given;
    listeners.onSource(given);
    showPreview();
    if (given) {
      present?.setSource(given);
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

  /** Show an error at its field, if the settings of its operation are shown. @param {ApiError} error @param {string} [name] */
  function showAtField(error, name = present?.operation.name) {
    return error.field !== null && present?.operation.name === name && Boolean(present?.setError(error.field, error.message));
  }

  async function start() {
    if (!present || runButton.disabled) {
      return;
    }
    const { operation } = present;
    const signal = jobs.begin();
    const body = present.body(source);
    present.clearErrors();
    preview.cancel();
    runButton.disabled = true;
    showPreview(); // what an earlier job has made does not belong to this one
    try {
      const id = await run.start(operation.path, body);
      remember(id, { operation: operation.name, body, source });
      if (signal.aborted) {
        recent.refresh(); // another job is shown; this one runs all the same
        return;
      }
      history.pushState(null, "", `#job=${id}`);
      follow(id);
    } catch (error) {
      if (error instanceof ApiError && !signal.aborted) {
        changed("opened");
        showError(error, operation.name);
      }
    }
  }

  /** Show what a job of another part of the page has made. @param {string} operation @param {any} answer with its `job_id` */
  function showMade(operation, answer) {
    history.pushState(null, "", `#job=${answer.job_id}`);
    jobs.end();
    run.leave();
    changed("opened");
    recent.refresh();
    showAnswer(operation, answer, answer.job_id);
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
    present?.refresh(); // it may have downloaded a model
    changed("opened");
    if (view.state === "completed") {
      showAnswer(view.operation, view.result, view.job_id);
    } else if (view.state === "failed") {
      const { error = "The job has failed.", status = 500, code = "unknown" } = view.result ?? {};
      showError(new ApiError(error, status, code), view.operation);
    }
  }

  /** Show why a job cannot be run, or has failed. @param {ApiError} error @param {string} name of its operation */
  function showError(error, name) {
    if (!showAtField(error, name)) {
      run.fail(error.message);
    }
  }

  /** Show what an operation has made. @param {string} operation @param {any} answer @param {string} jobId @param {import("./memory.js").Memory | null} [memory] what this tab knows of the job */
  async function showAnswer(operation, answer, jobId, memory = recall(jobId)) {
    answered = answer;
    const shown = result.show({ operation, source: memory?.source ? sideOf(api, memory.source) : null, answer: answer ?? {}, body: memory?.body, jobId });
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
    jobs.end();
    run.leave();
    await clip.openPath(path, answered?.output_path === path ? api.url(answered.output_url).href : null);
    clip.focus();
    byId("source-part").scrollIntoView({ block: "start" });
  }

  /** Open the job that the address names. */
  async function openAddressed() {
    const id = new URLSearchParams(location.hash.slice(1)).get("job");
    const signal = jobs.begin();
    run.leave();
    showPreview();
    if (!id) {
      changed("opened");
      return;
    }
    const memory = recall(id);
    const operation = operations.find((each) => each.name === memory?.operation);
    if (memory && operation) {
      if (memory.source && memory.source.path !== source?.path) {
        clip.reopen(memory.source);
      }
      cards.mark(operation);
      const own = await select(operation);
      if (!signal.aborted) {
        await own?.set(memory.body);
      }
    }
    if (!signal.aborted) {
      follow(id);
    }
  }

  /** @param {import("./run.js").State} state @param {number | null} percent */
  function onState(state, percent) {
    const text = { sending: "…", queued: "Waiting", running: percent === null ? "…" : `${Math.floor(percent)} %` }[String(state)];
    listeners.onTitle(text ?? "");
  }

  cards.mark(operations[0]);
  select(operations[0]);
  recent.keepListing();
  openAddressed();
  return { showMade, focus: clip.focus };
}
