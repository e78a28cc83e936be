// @ts-check
// What the frames studio asks of the server: jobs with progress, and work on many frames at once.

import { ApiError } from "./api.js";

/** @typedef {import("./api.js").Api} Api */

const POLL_MS = 300;
const PATIENCE_MS = 2000; // between requests while the server does not respond
const AT_ONCE = 4;
const ENDED = ["completed", "failed", "cancelled"];

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Run an operation as a job, and return its answer with the `job_id`. The job goes on while the server does not respond.
 *
 * @param {Api} api
 * @param {string} route
 * @param {Record<string, unknown>} body
 * @param {{onProgress: (done: number | null, total: number | null) => void, signal: AbortSignal}} options
 *   onProgress: frames, as far as known; signal: cancels the job
 * @returns {Promise<any>}
 * @throws {ApiError} also if the job is cancelled
 */
export async function runJob(api, route, body, { onProgress, signal }) {
  const { job_id: id } = await api.json("POST", route, body, { headers: { Prefer: "respond-async" } });
  for (let isStopping = false; ; await pause(POLL_MS)) {
    if (signal.aborted && !isStopping) {
      isStopping = true;
      await api.json("DELETE", `/jobs/${id}`).catch(() => {}); // it has just ended
    }
    const view = await jobView(api, id);
    onProgress(view?.progress?.frames_done ?? null, view?.progress?.frames_total ?? null);
    if (view === null || !ENDED.includes(view.state)) {
      continue;
    }
    if (view.state !== "completed") {
      throw new ApiError(view.result?.error ?? "The job was cancelled.", view.result?.status ?? 400, view.result?.code ?? "cancelled");
    }
    return { ...view.result, job_id: id };
  }
}

/**
 * The state of a job; null if the server does not respond at the moment.
 *
 * @param {Api} api
 * @param {string} id
 */
async function jobView(api, id) {
  try {
    return await api.json("GET", `/jobs/${id}`);
  } catch (error) {
    if (error instanceof ApiError && error.status !== 0 && error.status < 500) {
      throw error;
    }
    await pause(PATIENCE_MS);
    return null;
  }
}

/**
 * Work on several items at a time, in order. The first error ends it, after the work that has begun.
 *
 * @template T, R
 * @param {T[]} items
 * @param {(item: T) => Promise<R>} work
 * @param {(done: number) => void} [onProgress]
 * @returns {Promise<R[]>} in the order of the items
 */
export async function forEach(items, work, onProgress) {
  /** @type {R[]} */
  const results = new Array(items.length);
  let next = 0;
  let done = 0;
  async function takeTurns() {
    while (next < items.length) {
      const index = next++;
      try {
        results[index] = await work(items[index]);
      } catch (error) {
        next = items.length;
        throw error;
      }
      onProgress?.(++done);
    }
  }
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, takeTurns));
  const failed = ends.find((end) => end.status === "rejected");
  if (failed) {
    throw failed.reason;
  }
  return results;
}

/**
 * The path of a frame or, without a name, of its folder. Browsers resolve dots even if they are encoded, so that such a
 * name would lead to another route.
 *
 * @param {string} folder
 * @param {...string} filename
 */
export function framePath(folder, ...filename) {
  const names = [folder, ...filename];
  const wrong = names.find((name) => ["", ".", ".."].includes(name));
  if (wrong !== undefined) {
    throw new ApiError(`'${wrong}' is not a name of a folder or a frame.`, 400, "invalid_field");
  }
  return `/frames/${names.map(encodeURIComponent).join("/")}`;
}

/**
 * A local file as a data URI, which the API takes as base64.
 *
 * @param {Blob} file
 * @returns {Promise<string>}
 */
export function dataUri(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(new ApiError("The file could not be read.", 400, "unreadable"));
    reader.readAsDataURL(file);
  });
}

/**
 * The message of an error for the user.
 *
 * @param {unknown} error
 */
export function sentence(error) {
  return error instanceof Error ? error.message : String(error);
}

/** @param {number} count @param {string} [noun] */
export function counted(count, noun = "frame") {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * The number in the name of a frame; its place in the list if there is none.
 *
 * @param {string} filename
 * @param {number} index
 */
export function numberOf(filename, index) {
  return Number(/(\d+)\.\w+$/.exec(filename)?.[1] ?? index);
}

/**
 * What a folder is, in one sentence.
 *
 * @param {number} frames
 * @param {import("./frames-folder.js").Source | null} source
 */
export function described(frames, source) {
  if (source === null) {
    return `${counted(frames)}.`;
  }
  const [fps, per = 1] = source.fps.split("/").map(Number);
  const which = source.extraction_rate === 1 ? "" : `, every ${source.extraction_rate} frames`;
  const rate = `${Number((fps / per).toFixed(3))} frames per second`;
  return `${counted(frames)} of ${source.name}: ${source.width} × ${source.height}, ${rate}${which}${source.has_audio ? ", with audio" : ""}.`;
}
