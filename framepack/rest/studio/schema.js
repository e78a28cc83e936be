// @ts-check
// Reads operations and their fields from the server's OpenAPI document. Nothing about a field is written in this page,
// except which ones it fills itself.

/** @typedef {Record<string, any>} Schema */
/** @typedef {{path: string, member: string}} Listing where the server lists the values of a field, by name */
/**
 * @typedef {object} Field
 * @property {string} name
 * @property {string} presetName what presets call it
 * @property {string} title
 * @property {string} help
 * @property {"number" | "choice" | "boolean" | "text"} kind
 * @property {boolean} isWhole of a number
 * @property {number | undefined} min
 * @property {number | undefined} max
 * @property {(string | number)[]} choices
 * @property {Listing | undefined} listing
 * @property {any} initial the default; undefined without one
 * @property {boolean} isRequired
 */
/** @typedef {{name: string, title: string, fields: Field[]}} StepType */
/** @typedef {"video" | "videos" | "image" | "text"} Input */
/**
 * @typedef {object} Operation
 * @property {string} name
 * @property {string} title
 * @property {string} summary
 * @property {string} path
 * @property {string} method
 * @property {Input} takes
 * @property {Field[]} fields
 * @property {boolean} hasSteps
 * @property {boolean} givesVideo
 */

/** What each kind of source is called in requests. The page fills these. */
export const SOURCES = /** @type {Record<Input, string>} */ ({
  video: "video_url",
  videos: "video_urls",
  image: "image_url",
  text: "prompt",
});
/** Operations that the page uses itself, or that are for programs. */
const NOT_SHOWN = new Set(["analyze", "preview", "save_video", "batch"]);
/** Fields that the page fills, or that are for programs. */
const FILLED = new Set([
  ...["video_url", "video_urls", "image_url", "video_base64", "image_base64", "callback_url", "callback_token"],
  "operations",
]);
const ORDER = ["upscale", "interpolate", "filters", "loop", "export", "pipeline"];

/**
 * A schema with its reference followed, its parts merged, and without the alternative `null`.
 *
 * @param {Schema} document
 * @param {Schema} schema
 * @returns {Schema}
 */
export function resolved(document, schema) {
  const { $ref, allOf, anyOf, oneOf, ...own } = schema;
  const target = $ref ? $ref.slice(2).split("/").reduce((/** @type {any} */ at, /** @type {string} */ name) => at[name], document) : {};
  const parts = [target, ...(allOf ?? [])].map((part) => (part === schema ? {} : isPlain(part) ? part : resolved(document, part)));
  const options = (anyOf ?? oneOf ?? []).filter((/** @type {Schema} */ each) => each.type !== "null");
  const single = options.length === 1 ? resolved(document, options[0]) : {};
  const several = options.length > 1 ? { oneOf: options, ...constants(document, options) } : {};
  const merged = Object.assign({}, ...parts, single, several, own);
  const properties = Object.assign({}, ...[...parts, single, own].map((part) => part.properties));
  return Object.keys(properties).length ? { ...merged, properties } : merged;
}

/** @param {Schema} schema */
function isPlain(schema) {
  return !("$ref" in schema || "allOf" in schema || "anyOf" in schema || "oneOf" in schema);
}

/**
 * The values of alternatives that are constants or lists of them, as one list.
 *
 * @param {Schema} document
 * @param {Schema[]} options
 */
function constants(document, options) {
  const values = options.map((each) => resolved(document, each)).map((each) => each.enum ?? (each.const === undefined ? null : [each.const]));
  return values.every(Boolean) ? { enum: values.flat(), type: typeof values[0][0] } : {};
}

/**
 * The fields of a request that a person fills in.
 *
 * @param {Schema} document
 * @param {Schema} schema of the request
 * @returns {Field[]}
 */
export function fieldsOf(document, schema) {
  const { properties = {}, required = [] } = resolved(document, schema);
  return Object.entries(properties)
    .map(([name, each]) => fieldOf(name, resolved(document, each), required.includes(name)))
    .filter((each) => each !== null);
}

/**
 * @param {string} name
 * @param {Schema} schema resolved
 * @param {boolean} isRequired
 * @returns {Field | null} null if the page does not show it
 */
function fieldOf(name, schema, isRequired) {
  const kind = kindOf(schema);
  if (FILLED.has(name) || schema.deprecated || kind === null) {
    return null;
  }
  return {
    name,
    presetName: schema["x-preset-name"] ?? name,
    title: titleOf(name),
    help: schema.description ?? "",
    kind,
    isWhole: schema.type === "integer",
    min: schema.minimum ?? schema.exclusiveMinimum,
    max: schema.maximum ?? schema.exclusiveMaximum,
    choices: schema.enum ?? [],
    listing: schema["x-choices"],
    initial: schema.default ?? undefined,
    isRequired,
  };
}

/** @param {Schema} schema @returns {Field["kind"] | null} */
function kindOf(schema) {
  if (schema.enum) {
    return "choice";
  }
  if (schema.type === "integer" || schema.type === "number") {
    return "number";
  }
  return schema.type === "boolean" ? "boolean" : schema.type === "string" ? "text" : null;
}

/**
 * The operations that a person can run on a source, the ones that most people look for first.
 *
 * @param {Schema} document
 * @returns {Operation[]}
 */
export function operationsOf(document) {
  const found = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, route]) => operationOf(document, path, method, /** @type {Schema} */ (route))),
  );
  const rank = (/** @type {Operation} */ each) => (ORDER.indexOf(each.name) + ORDER.length + 1) % (ORDER.length + 1);
  return found.filter((each) => each !== null).sort((a, b) => rank(a) - rank(b));
}

/**
 * @param {Schema} document
 * @param {string} path
 * @param {string} method
 * @param {Schema} route
 * @returns {Operation | null} null if it is not for the page
 */
function operationOf(document, path, method, route) {
  const body = route.requestBody?.content?.["application/json"]?.schema;
  if (method !== "post" || !body || path.includes("{") || NOT_SHOWN.has(route.operationId)) {
    return null;
  }
  const { properties = {} } = resolved(document, body);
  const takes = /** @type {Input | undefined} */ (Object.keys(SOURCES).find((each) => SOURCES[/** @type {Input} */ (each)] in properties));
  if (!takes) {
    return null;
  }
  return {
    name: route.operationId,
    title: titleOf(route.operationId),
    summary: route.summary ?? "",
    path,
    method: "POST",
    takes,
    fields: [...requiredInQuery(document, route), ...fieldsOf(document, body)],
    hasSteps: "operations" in properties,
    givesVideo: answersOf(document, route).some((/** @type {Schema} */ each) => "output_url" in (each.properties ?? {})),
  };
}

/**
 * The fields that a route requires in its query. The page sends them in the body, which the server accepts as well.
 *
 * @param {Schema} document
 * @param {Schema} route
 * @returns {Field[]}
 */
function requiredInQuery(document, route) {
  return (route.parameters ?? [])
    .filter((/** @type {Schema} */ each) => each.in === "query" && each.required)
    .map((/** @type {Schema} */ each) => fieldOf(each.name, resolved(document, { ...each.schema, description: each.description }), true))
    .filter((/** @type {Field | null} */ each) => each !== null);
}

/** @param {Schema} document @param {Schema} route */
function answersOf(document, route) {
  const answer = resolved(document, route.responses?.["200"]?.content?.["application/json"]?.schema ?? {});
  return (answer.oneOf ?? [answer]).map((/** @type {Schema} */ each) => resolved(document, each));
}

/**
 * The types of steps of a pipeline, with the fields of their parameters.
 *
 * @param {Schema} document
 * @param {Operation[]} operations for documents that do not describe the parameters of a step
 * @returns {StepType[]}
 */
export function stepTypesOf(document, operations) {
  const pipeline = operations.find((each) => each.hasSteps);
  if (!pipeline) {
    return [];
  }
  const body = document.paths[pipeline.path].post.requestBody.content["application/json"].schema;
  const items = resolved(document, resolved(document, resolved(document, body).properties.operations).items);
  const variants = (items.oneOf ?? items.anyOf ?? []).map((/** @type {Schema} */ each) => resolved(document, each));
  if (variants.length === 0) {
    return operations.filter((each) => each.takes === "video" && each.givesVideo && !each.hasSteps && !needsName(each));
  }
  return variants.map((/** @type {Schema} */ { properties }) => {
    const type = resolved(document, properties.type);
    const name = type.const ?? type.enum[0];
    return { name, title: titleOf(name), fields: fieldsOf(document, properties.params ?? {}) };
  });
}

/** Whether it needs a name of something that is saved, as a step never does. @param {Operation} operation */
function needsName(operation) {
  return operation.fields.some((each) => each.isRequired);
}

/** `scale_factor` as a person reads it. @param {string} name */
export function titleOf(name) {
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}
