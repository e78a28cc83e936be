// @ts-check
// The same on the command line. It works on local files, so everything else is downloaded first.

import { KEY, pathOf } from "./same-as-http.js";
import { quoted } from "./same-as-text.js";

/** @typedef {import("./same-as.js").Call} Call */

/**
 * What a command takes and gives; `framepack/cli/options.py` has the same table, and a test compares them.
 *
 * @type {Record<string, "video to video" | "videos to video" | "video to frames" | "video to text" | "image to text" | "prompt to text" | "text">}
 */
const USAGES = {
  analyze: "video to text",
  batch: "videos to video",
  caption_image: "image to text",
  enhance_prompt: "prompt to text",
  export: "video to video",
  extract_frames: "video to frames",
  filters: "video to video",
  interpolate: "video to video",
  join: "videos to video",
  list_filter_presets: "text",
  list_models: "text",
  loop: "video to video",
  pipeline: "video to video",
  pipeline_from_preset: "video to video",
  system_status: "text",
  upscale: "video to video",
};
const BUILT_IN_PRESETS = ["none", "cinematic", "vintage", "cool", "warm", "dramatic"];
const NOT_OPTIONS = [
  ...["video_url", "video_base64", "image_url", "image_base64", "videos", "video_urls", "prompt", "preset_name"],
  ...["callback_url", "callback_token", "output_name", "use_streaming"],
];

/**
 * The command line that does the same, with the commands that it needs before; null if there is none.
 *
 * @param {Call} call
 * @param {string} server its address, without a slash at the end
 */
export function commandLine(call, server) {
  const usage = USAGES[call.operation];
  if (usage === undefined || hasInlineFile(call.body) || hasStoredPresetInStep(call.body.operations)) {
    return null;
  }
  /** @type {string[]} */
  const before = [];
  const sources = sourcesOf(call).map((url, index, all) => localFile(url, index, all.length, call, server, before));
  const command = call.operation === "batch" ? "pipeline" : call.operation.replaceAll("_", "-");
  const prompt = usage === "prompt to text" ? String(call.body.prompt) : null;
  const preset = presetOf(call, server, before);
  const line = [
    `framepack run ${command}`,
    ...sources.map((name) => quoted(pathOf(name))),
    ...(usage.endsWith("text") ? [] : [`-o ${quoted(target(call, usage, sources))}`]),
    ...Object.entries(call.body).filter(([name, value]) => isOption(name, value) && name !== "preset").map(([name, value]) => option(name, value)),
    ...(preset === null ? [] : [option("preset", preset)]),
    ...(prompt === null ? [] : [prompt.startsWith("-") ? `-- ${quoted(prompt)}` : quoted(prompt)]),
  ];
  return [...before, line.join(" ")].join("\n");
}

/** @param {Record<string, unknown>} body */
function hasInlineFile(body) {
  const videos = /** @type {Record<string, unknown>[]} */ (body.videos ?? []);
  return [body, ...videos].some((each) => typeof each.video_base64 === "string" || typeof each.image_base64 === "string");
}

/**
 * Whether a step has a preset that only the server knows.
 *
 * @param {unknown} operations
 */
function hasStoredPresetInStep(operations) {
  const steps = /** @type {{params?: {preset?: unknown} | null}[]} */ (Array.isArray(operations) ? operations : []);
  return steps.some(({ params }) => typeof params?.preset === "string" && !isBuiltIn(params.preset));
}

/** @param {string} preset */
function isBuiltIn(preset) {
  return BUILT_IN_PRESETS.includes(preset.trim().toLowerCase());
}

/**
 * The addresses of the call's sources.
 *
 * @param {Call} call
 * @returns {string[]}
 */
function sourcesOf({ body }) {
  const videos = /** @type {{video_url: string}[]} */ (body.videos ?? []);
  const urls = /** @type {string[]} */ (body.video_urls ?? videos.map((each) => each.video_url));
  const single = body.video_url ?? body.image_url;
  return typeof single === "string" ? [single] : urls;
}

/**
 * The local file of a source. One that is not on this machine is downloaded by a command that is added to `before`.
 *
 * @param {string} url
 * @param {number} index
 * @param {number} count of sources
 * @param {Call} call
 * @param {string} server
 * @param {string[]} before
 */
function localFile(url, index, count, call, server, before) {
  if (call.file !== undefined && count === 1) {
    return call.file;
  }
  const isOwn = url.startsWith("/outputs/");
  const name = (count > 1 ? `${index + 1}-` : "") + fileName(url);
  const address = isOwn ? server + url.split("/").map(encodeURIComponent).join("/") : URL.canParse(url) ? new URL(url).href : url;
  const globs = /[[\]{}]/.test(address) ? " -g" : "";
  before.push(`curl -fsSL${globs} ${quoted(address)}${isOwn ? ` -H 'X-API-Key: ${KEY}'` : ""} -o ${quoted(name)}`);
  return name;
}

/**
 * The name of the file at an address, in letters that every system takes.
 *
 * @param {string} url
 */
function fileName(url) {
  const path = url.replace(/[?#].*$/, "").replace(/^\w+:\/\/[^/]*/, "");
  const name = decoded(path.slice(path.lastIndexOf("/") + 1)).replace(/[^\p{L}\p{N}._-]+/gu, "_").replace(/^[.-]+/, "");
  return name === "" ? "source" : name;
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * The value of `--preset`: a name, or a file that a command added to `before` makes of what the server has stored.
 *
 * @param {Call} call
 * @param {string} server
 * @param {string[]} before
 */
function presetOf({ body }, server, before) {
  const name = body.preset_name ?? body.preset;
  if (typeof name !== "string" || (body.preset_name === undefined && isBuiltIn(name))) {
    return typeof name === "string" ? name : null;
  }
  const path = body.preset_name === undefined ? "filters" : "workflow";
  before.push(
    `curl -fsS ${quoted(`${server}/${path}/presets`)} -H 'X-API-Key: ${KEY}' |\n` +
      `  python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["presets"][sys.argv[1]]))' ${quoted(name.trim())} > preset.json`,
  );
  return "preset.json";
}

/**
 * The file or folder to write.
 *
 * @param {Call} call
 * @param {string} usage
 * @param {string[]} sources
 */
function target(call, usage, sources) {
  if (usage === "video to frames") {
    return "frames";
  }
  if (call.operation === "batch" && sources.length > 1) {
    return "results";
  }
  const { output_name: given } = call.body;
  const ending = /\.(mp4|webm|gif)$/i.exec(call.output ?? "")?.[1]?.toLowerCase() ?? formatOf(call.body);
  const wanted = call.output ?? (typeof given === "string" ? given.trim() : "out");
  const stem = wanted.replace(/\.(mp4|webm|gif)$/i, "").replace(/[/\\]/g, "_");
  const name = pathOf(`${stem}.${ending}`);
  return sources.includes(name) ? pathOf(`${stem}-2.${ending}`) : name;
}

/**
 * The format that a request selects.
 *
 * @param {Record<string, unknown>} body
 */
function formatOf({ format, operations }) {
  const steps = /** @type {{type: string, params?: {format?: unknown} | null}[]} */ (Array.isArray(operations) ? operations : []);
  const last = steps.findLast(({ type }) => type.toLowerCase() === "export");
  const found = String(format ?? last?.params?.format ?? "mp4").trim().toLowerCase().replace(/^\./, "");
  return ["mp4", "webm", "gif"].includes(found) ? found : "mp4";
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function isOption(name, value) {
  return value !== null && value !== undefined && !NOT_OPTIONS.includes(name);
}

/**
 * @param {string} field
 * @param {unknown} value
 */
function option(field, value) {
  const name = field.replaceAll("_", "-");
  if (typeof value === "boolean") {
    return value ? `--${name}` : `--no-${name}`;
  }
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.startsWith("-") ? `--${name}=${quoted(text)}` : `--${name} ${quoted(text)}`;
}
