// @ts-check
// "The same as": what was done on the page, for those who want to do it from a program.

import { commandLine } from "./same-as-cli.js";
import { curlText, leadsElsewhere, pythonText } from "./same-as-http.js";

/**
 * A request as it was sent to the REST API.
 *
 * @typedef {object} Call
 * @property {string} operation name of the operation, such as `extract_frames`
 * @property {string} route its path, with the names of fields in braces
 * @property {string} method of HTTP
 * @property {Record<string, unknown>} body its fields, also those of path and query
 * @property {string} [file] name of the user's file that was uploaded as its video_url or image_url
 * @property {string} [output] name of the file that it has made; names the result of the command line
 */

/** @typedef {"curl" | "Python" | "RunPod job" | "Command line"} Kind */

/**
 * The same as text for other programs, with `my-key` in place of the API key. Operations that the command line does not
 * offer, because they need what is only in the server's store, have no text for it. A name that leads to another route
 * has none of HTTP.
 *
 * @param {Call} call
 * @param {string} server address of the server
 * @returns {{name: Kind, language: string, text: string}[]}
 */
export function sameAs(call, server) {
  const base = server.replace(/\/+$/, "");
  const line = commandLine(call, base);
  /** @type {{name: Kind, language: string, text: string}[]} */
  const overHttp = [
    { name: "curl", language: "bash", text: curlText(call, base) },
    { name: "Python", language: "python", text: pythonText(call, base) },
  ];
  return [
    ...(leadsElsewhere(call) ? [] : overHttp),
    { name: "RunPod job", language: "json", text: JSON.stringify({ input: { endpoint: call.operation, ...call.body } }, null, 2) },
    ...(line === null ? [] : [{ name: /** @type {Kind} */ ("Command line"), language: "bash", text: line }]),
  ];
}
