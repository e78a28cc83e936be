// @ts-check
// Changes of a folder: frames are deleted, put back and replaced.

import { ApiError } from "./api.js";
import { counted, dataUri, forEach, framePath } from "./frames-work.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {{filename: string, base64: string}} KeptFrame */

/** How many deleted frames are kept in the page, to be put back. */
export const MAX_KEPT = 24;

/**
 * The files of frames that will be deleted; null if they are too many or too large to be kept here.
 *
 * @param {Api} api
 * @param {string} folder
 * @param {string[]} filenames
 * @returns {Promise<KeptFrame[] | null>}
 */
export async function keptFrames(api, folder, filenames) {
  if (filenames.length > MAX_KEPT) {
    return null;
  }
  const frames = await forEach(filenames, (filename) => api.json("GET", framePath(folder, filename)));
  return frames.every((frame) => frame.base64) ? frames.map(({ filename, base64 }) => ({ filename, base64 })) : null;
}

/**
 * Delete frames.
 *
 * @param {Api} api
 * @param {string} folder
 * @param {string[]} filenames
 * @param {(text: string) => void} say
 */
export async function deleteFrames(api, folder, filenames, say) {
  const total = counted(filenames.length);
  await forEach(
    filenames,
    async (filename) => {
      try {
        await api.json("DELETE", framePath(folder, filename));
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 404) {
          throw error; // one that is gone was meant to go
        }
      }
    },
    (done) => say(`Deleting ${done.toLocaleString("en")} of ${total} …`),
  );
}

/**
 * Put deleted frames back.
 *
 * @param {Api} api
 * @param {string} folder
 * @param {KeptFrame[]} frames
 */
export async function putBack(api, folder, frames) {
  await forEach(frames, ({ filename, base64 }) => api.json("POST", framePath(folder, filename), { image_base64: base64 }));
}

/**
 * Replace frames by local images, the first by the first and so on.
 *
 * @param {Api} api
 * @param {string} folder
 * @param {string[]} filenames
 * @param {File[]} files as many, in any order
 * @param {(text: string) => void} say
 * @returns {Promise<string[]>} warnings of the server, each once
 * @throws {ApiError} also if the numbers differ; nothing is changed then
 */
export async function replaceFrames(api, folder, filenames, files, say) {
  if (files.length !== filenames.length) {
    const [selected, chosen] = [counted(filenames.length), counted(files.length, "image")];
    throw new ApiError(`Choose as many images as frames are selected: there are ${selected} and ${chosen}.`, 400, "count");
  }
  const ordered = files.toSorted((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  const pairs = filenames.map((filename, index) => ({ filename, file: ordered[index] }));
  const answers = await forEach(
    pairs,
    async ({ filename, file }) => api.json("POST", framePath(folder, filename), { image_base64: await dataUri(file) }),
    (done) => say(`Replacing ${done.toLocaleString("en")} of ${counted(filenames.length)} …`),
  );
  return [...new Set(answers.flatMap((answer) => answer.warnings ?? []))];
}

/**
 * A frame as it is stored now, and where the page finds it: the browser may still have its old image.
 *
 * @param {Api} api
 * @param {string} folder
 * @param {string} filename
 */
export async function storedImage(api, folder, filename) {
  const link = api.url((await api.json("GET", framePath(folder, filename))).url);
  try {
    const response = await fetch(link, { cache: "reload", credentials: "omit" });
    return { filename, url: URL.createObjectURL(await response.blob()) };
  } catch {
    return { filename, url: link.href }; // a bucket that only shows images
  }
}
