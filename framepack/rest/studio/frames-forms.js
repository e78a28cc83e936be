// @ts-check
// The two forms of the frames studio: a clip becomes a folder of frames, and a folder becomes a video.

import { h } from "./dom.js";
import { ApiError } from "./api.js";
import { counted, runJob, sentence } from "./frames-work.js";

/** @typedef {import("./api.js").Api} Api */

let lastId = 0;

/**
 * A field with its label, and a place for its error.
 *
 * @param {string} name of the API
 * @param {string} text
 * @param {Record<string, unknown>} attributes of the input
 */
function field(name, text, attributes) {
  const id = `frames-${name}-${++lastId}`;
  const input = h("input", { id, name, "aria-describedby": `${id}-error`, ...attributes });
  const error = h("span", { class: "frames-error", id: `${id}-error` });
  const isBox = attributes.type === "checkbox";
  const label = h("label", { for: id }, text);
  return { name, input, error, element: h("div", { class: `frames-field${isBox ? " frames-check" : ""}` }, ...(isBox ? [input, label] : [label, input]), error) };
}

/**
 * A form that runs a job, with its progress, and errors at the field they name.
 *
 * @param {object} form
 * @param {string} form.action text of its button
 * @param {ReturnType<typeof field>[]} form.fields
 * @param {() => {api: Api, route: string, body: Record<string, unknown>}} form.request
 * @param {(answer: any) => void} form.onDone
 * @param {(isBusy: boolean) => void} form.onBusy
 */
function jobForm({ action, fields, request, onDone, onBusy }) {
  const button = h("button", { class: "primary" }, action);
  const stop = h("button", { type: "button", hidden: true }, "Stop");
  const bar = h("progress", { hidden: true, "aria-label": action });
  const status = h("p", { class: "frames-status", role: "status" });
  const error = h("p", { class: "frames-error", role: "alert" });
  const element = h("form", { class: "frames-form", novalidate: true, onsubmit: submitted }, ...fields.map((each) => each.element), h("div", { class: "frames-actions" }, button, stop), bar, status, error);

  /** @param {string | null} text */
  function setBusy(text) {
    button.disabled = text !== null;
    stop.hidden = bar.hidden = text === null;
    bar.removeAttribute("value");
    status.textContent = text;
    onBusy(text !== null);
  }

  /** @param {number | null} done @param {number | null} total */
  function progressed(done, total) {
    if (done !== null) {
      status.textContent = total === null ? counted(done) : `${done.toLocaleString("en")} of ${counted(total)}`;
      bar.value = total ? done / total : 0;
    }
  }

  /** @param {SubmitEvent} event */
  async function submitted(event) {
    event.preventDefault();
    const controller = new AbortController();
    stop.onclick = () => controller.abort();
    show(null);
    setBusy("Starting …");
    try {
      const { api, route, body } = request();
      const answer = await runJob(api, route, body, { onProgress: progressed, signal: controller.signal });
      setBusy(null);
      onDone(answer);
    } catch (failed) {
      setBusy(null);
      show(failed);
    }
  }

  /** Show an error at its field, or below; null removes it. @param {unknown} failed */
  function show(failed) {
    const place = failed instanceof ApiError ? fields.find((each) => each.name === failed.field) : undefined;
    for (const each of fields) {
      each.input.setAttribute("aria-invalid", String(each === place));
      each.error.textContent = each === place ? sentence(failed) : "";
    }
    error.textContent = failed === null || place ? "" : sentence(failed);
    place?.input.focus();
  }

  return { element, status, show };
}

/** The value of a number field, as the API gets it: what is no number is refused there. @param {HTMLInputElement} input */
function number(input) {
  return input.value === "" ? undefined : Number(input.value);
}

/**
 * The form that extracts the frames of a clip.
 *
 * @param {() => {api: Api, source: string}} context source: its address for the API
 * @param {{onDone: (answer: any) => void, onBusy: (isBusy: boolean) => void}} listeners
 */
export function extractForm(context, listeners) {
  const rate = field("extraction_rate", "Every Nth frame", { type: "number", min: 1, max: 100, step: 1, value: 1 });
  const alpha = field("keep_alpha", "Keep transparency", { type: "checkbox" });
  return jobForm({
    action: "Extract frames",
    fields: [rate, alpha],
    request() {
      const { api, source } = context();
      return { api, route: "/frames/extract", body: { video_url: source, extraction_rate: number(rate.input), keep_alpha: alpha.input.checked } };
    },
    ...listeners,
  });
}

/**
 * The form that makes a video of a folder.
 *
 * @param {() => {api: Api, folder: string}} context
 * @param {{onDone: (answer: any) => void, onBusy: (isBusy: boolean) => void}} listeners
 */
export function reassembleForm(context, listeners) {
  const fps = field("output_fps", "Frames per second", { type: "number", min: 1, max: 120, step: 1, value: 30 });
  const name = field("output_name", "Name", { type: "text", placeholder: "reassembled_video", maxlength: 100, autocomplete: "off" });
  const audio = field("with_audio", "With the clip's audio", { type: "checkbox" });
  const form = jobForm({
    action: "Make a video",
    fields: [fps, name, audio],
    request() {
      const { api, folder } = context();
      const own = { output_fps: number(fps.input), output_name: name.input.value || undefined, with_audio: audio.input.checked };
      return { api, route: "/frames/reassemble", body: { folder_name: folder, ...own } };
    },
    ...listeners,
  });
  return {
    ...form,
    /**
     * Begin with the rate and the audio of the clip that the frames are from.
     *
     * @param {{fps: string, extraction_rate: number, has_audio: boolean} | null} source
     */
    suggest(source) {
      const [count, per = 1] = (source?.fps ?? "30").split("/").map(Number);
      fps.input.value = String(Math.max(1, Math.min(120, Math.round(count / per / (source?.extraction_rate ?? 1)))));
      audio.input.checked = audio.input.disabled = false;
      audio.input.checked = source?.has_audio ?? false;
      audio.element.hidden = !source?.has_audio;
      name.input.value = "";
      form.status.textContent = "";
      form.show(null);
    },
  };
}
