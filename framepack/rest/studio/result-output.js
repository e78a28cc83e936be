// @ts-check
// The file of an answer, and what can be done with it.

import { sizeText } from "./compare-facts.js";
import { h } from "./dom.js";
import { noFile, whyNoFile } from "./links.js";

/** @typedef {import("./api.js").Api} Api */

/**
 * A file in an answer.
 *
 * @typedef {{path: string, name: string, bytes?: number, link: string | null}} Output
 */

/** The file of an answer that has one. @param {any} answer @returns {Output | null} */
export function outputOf(answer) {
  const path = answer.output_path ?? answer.saved_path;
  if (typeof path !== "string") {
    return null;
  }
  const name = answer.output_filename ?? answer.filename ?? path.split("/").pop();
  return { path, name, bytes: answer.output_file_size, link: answer.output_url ?? null };
}

/**
 * A new link to a file that a job has made.
 *
 * @param {Api} api
 * @param {string} jobId
 * @param {string} path of the file in the job's answer
 * @returns {Promise<string>}
 * @throws {Error}
 */
export async function newLink(api, jobId, path) {
  const { result } = await api.json("GET", `/jobs/${jobId}`);
  const outputs = [result, ...(result?.results ?? [])].map((each) => each && outputOf(each));
  const link = outputs.find((each) => each?.path === path)?.link;
  if (!link) {
    throw new Error("The server gives no link to this file.");
  }
  return String(api.url(link));
}

/**
 * @param {Api} api
 * @param {Output} output
 * @param {((path: string) => void) | null} onContinue null if it cannot be a source
 * @param {string | null} jobId of the job that has made it, if it is known
 */
export function outputActions(api, { path, name, bytes, link }, onContinue, jobId) {
  const problem = h("span", { class: "error", role: "alert" });
  const download = h("a", { class: "button primary", href: link && api.url(link), download: name, onclick: jobId && renewed }, "Download");

  /** Download from a new link: the one of the answer may have expired since. @param {Event} event */
  async function renewed(event) {
    event.preventDefault();
    problem.textContent = "";
    try {
      download.href = await newLink(api, String(jobId), path);
      const reason = noFile(await whyNoFile(download.href));
      if (reason) {
        throw new Error(reason);
      }
      h("a", { href: download.href, download: name }).click();
    } catch (failure) {
      problem.textContent = failure instanceof Error ? failure.message : String(failure);
    }
  }

  return [
    link && download,
    onContinue && h("button", { type: "button", onclick: () => onContinue(path) }, "Continue with this"),
    problem,
    h("span", { class: "muted" }, bytes ? `${name}, ${sizeText(bytes)}` : name),
  ].filter((each) => each !== null);
}
