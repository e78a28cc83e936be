// @ts-check
// The same request to the server from other programs: curl and Python.

import { Expression, JSON_STYLE, PYTHON_STYLE, literal, quoted } from "./same-as-text.js";

/** @typedef {import("./same-as.js").Call} Call */
/** @typedef {{url: string, method: string, body: Record<string, unknown> | null, source: string | null}} HttpRequest
 *    source: the field that is the address of the uploaded file */

/** Stands for the API key, which is not copied. */
export const KEY = "my-key";

const HEADER = `X-API-Key: ${KEY}`;
const SOURCES = ["video_url", "image_url"];
const PLACE = "\u{F0000}"; // for private use, so it is in no text

/**
 * Whether a program would turn the path of the call into that of another route. Python's requests resolves dots even if
 * they are encoded.
 *
 * @param {Call} call
 */
export function leadsElsewhere(call) {
  return [...call.route.matchAll(/\{(\w+)\}/g)].some(([, name]) => ["", ".", ".."].includes(String(call.body[name])));
}

/**
 * @param {Call} call
 * @param {string} server its address, without a slash at the end
 * @returns {HttpRequest}
 */
export function httpRequest(call, server) {
  const fields = { ...call.body };
  const path = call.route.replace(/\{(\w+)\}/g, (_, /** @type {string} */ name) => {
    const value = String(fields[name]);
    delete fields[name];
    return encodeURIComponent(value);
  });
  const hasBody = call.method !== "GET" && call.method !== "DELETE";
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  const query = hasBody ? [] : given.filter(([, value]) => value !== null).map(([name, value]) => `${name}=${inQuery(value)}`);
  return {
    url: server + path + (query.length > 0 ? `?${query.join("&")}` : ""),
    method: call.method,
    body: hasBody && given.length > 0 ? Object.fromEntries(given) : null,
    source: call.file === undefined ? null : (SOURCES.find((name) => fields[name]) ?? null),
  };
}

/** @param {unknown} value */
function inQuery(value) {
  return encodeURIComponent(typeof value === "string" ? value : JSON.stringify(value));
}

/**
 * Commands of a shell that have curl in it.
 *
 * @param {Call} call
 * @param {string} server
 */
export function curlText(call, server) {
  const { url, method, body, source } = httpRequest(call, server);
  const upload = source === null ? "" : `${curlUpload(source, call.file ?? "", server)}\n`;
  const verb = method === "GET" || body !== null ? "" : ` -X ${method}`;
  const request = `curl -sS${verb} ${quoted(url)} -H '${HEADER}'`;
  if (body === null) {
    return request;
  }
  const sent = source === null ? body : { ...body, [source]: PLACE };
  const data = quoted(literal(sent, JSON_STYLE)).replace(PLACE, () => `'"$${source}"'`);
  return `${upload}${request} \\\n  -H 'Content-Type: application/json' -d ${data}`;
}

/**
 * @param {string} variable
 * @param {string} file
 * @param {string} server
 */
function curlUpload(variable, file, server) {
  // curl reads a semicolon or a comma in a plain name as the beginning of an option, and "-" as its standard input.
  const path = pathOf(file);
  const name = /[;,"\\]/.test(path) ? `"${path.replace(/["\\]/g, "\\$&")}"` : path;
  return (
    `${variable}=$(curl -sS ${quoted(`${server}/uploads`)} -H '${HEADER}' -F ${quoted(`file=@${name}`)} |\n` +
    `  python3 -c 'import json, sys; print(json.load(sys.stdin)["video_url"])')`
  );
}

/**
 * A script in Python.
 *
 * @param {Call} call
 * @param {string} server
 */
export function pythonText(call, server) {
  const { url, method, body, source } = httpRequest(call, server);
  const given = source === null ? body : { ...body, [source]: new Expression('upload.json()["video_url"]') };
  const json = given === null ? "" : `\n    json=${literal(given, PYTHON_STYLE, "    ")},`;
  const request = json === "" ? JSON.stringify(url) : `\n    ${JSON.stringify(url)},${json}\n`;
  return [
    "import requests",
    "",
    "api = requests.Session()",
    `api.headers["X-API-Key"] = "${KEY}"`,
    ...(source === null ? [] : pythonUpload(call.file ?? "", server)),
    "",
    `response = api.${method.toLowerCase()}(${request})`,
    "if not response.ok:",
    "    raise SystemExit(response.text)",
    "print(response.json())",
  ].join("\n");
}

/**
 * @param {string} file
 * @param {string} server
 */
function pythonUpload(file, server) {
  return [
    "",
    `with open(${JSON.stringify(file)}, "rb") as file:`,
    `    upload = api.post(${JSON.stringify(`${server}/uploads`)}, files={"file": file})`,
    "if not upload.ok:",
    "    raise SystemExit(upload.text)",
  ];
}

/**
 * A name of a file that no program takes for an option or for its standard input.
 *
 * @param {string} file
 */
export function pathOf(file) {
  return file.startsWith("-") ? `./${file}` : file;
}
