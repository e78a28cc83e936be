// @ts-check
// The settings of one operation: its form, its steps or its clips, as the body of a request.

import { clipList } from "./clips.js";
import { h } from "./dom.js";
import { form } from "./form.js";
import { pipeline } from "./pipeline.js";
import { SOURCES } from "./schema.js";

/** @typedef {import("./schema.js").Operation} Operation */
/** @typedef {import("./schema.js").StepType} StepType */
/** @typedef {import("./player.js").Source} Source */
/** @typedef {import("./pipeline.js").Step} Step */
/** @typedef {Awaited<ReturnType<typeof settings>>} Settings */

/**
 * The settings of an operation.
 *
 * @param {import("./api.js").Api} api
 * @param {Operation} operation
 * @param {StepType[]} types of steps
 * @param {import("./form.js").Listings} listings
 * @param {() => void} onChange
 */
export async function settings(api, operation, types, listings, onChange) {
  const own = await form(operation.name, operation.fields, listings, onChange);
  const steps = operation.hasSteps ? pipeline(types, listings, onChange) : null;
  const clips = operation.takes === "videos" ? clipList(api, onChange) : null;
  const step = types.find((each) => each.name === operation.name);
  const parts = [steps?.element, clips?.element, (!steps || operation.fields.length > 0) && own.element];

  /** What this sends, without the source. */
  function sent() {
    return { ...own.values(), ...(steps ? { operations: steps.steps() } : {}), ...(clips ? { [SOURCES.videos]: clips.paths() } : {}) };
  }

  /** The values of the fields that the operation has as a step, too. @param {StepType} type */
  function paramsOf(type) {
    const names = new Set(type.fields.map((each) => each.name));
    return Object.fromEntries(Object.entries(own.values()).filter(([name]) => names.has(name)));
  }

  /** Why it cannot be run on a source; empty if it can. @param {Source | null} source */
  function misfit(source) {
    if (source && operation.takes === "video" && source.facts === null) {
      return `This is a still image; ${operation.title} needs a video.`;
    }
    return source && operation.takes === "image" && !source.mime.startsWith("image/") ? `This is a video; ${operation.title} needs an image.` : "";
  }

  return {
    operation,
    misfit,
    element: h("div", { class: "settings" }, h("p", { class: "help" }, operation.summary), ...parts),
    needsSource: operation.takes === "video" || operation.takes === "image",
    /** The body of a request on a source. @param {Source | null} source @returns {Record<string, unknown>} */
    body(source) {
      const at = source && (operation.takes === "video" || operation.takes === "image") ? { [SOURCES[operation.takes]]: source.path } : {};
      return { ...at, ...sent() };
    },
    /** The steps to preview; null if this cannot be previewed. @returns {Step[] | null} */
    steps: () => (steps ? steps.steps() : step ? [{ type: step.name, params: paramsOf(step) }] : null),
    /** Why there is nothing to preview. @param {Source | null} source */
    whyNone: (source) => misfit(source) || (steps ? "Add a step to see what it does." : "This operation has no preview."),
    /** Show the fields of a request that was sent. @param {Record<string, any>} body */
    async set(body) {
      own.set(body);
      await steps?.set(body.operations ?? []);
      clips?.set(body[SOURCES.videos] ?? []);
    },
    /** The page has another source. @param {Source} source */
    setSource: (source) => clips?.open(source),
    /** List anew what the server lists, such as presets. */
    refresh() {
      own.refresh();
      steps?.refresh();
    },
    clearErrors() {
      own.clearErrors();
      steps?.clearErrors();
      clips?.setError("");
    },
    /**
     * Show an error at the field that it names.
     *
     * @param {string} field
     * @param {string} message
     */
    setError(field, message) {
      if (steps?.setError(field, message)) {
        return true;
      }
      if (clips && field.startsWith(SOURCES.videos)) {
        clips.setError(message);
        return true;
      }
      return own.setError(field.replace(/^operations\[0]\.(params\.)?/, ""), message);
    },
  };
}
