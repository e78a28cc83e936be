// @ts-check
// A source as the side before of a comparison.

/** @typedef {import("./player.js").Source} Source */
/** @typedef {import("./compare-clip.js").Side} Side */

/**
 * A file of the server, as this page may read it with its key.
 *
 * @param {import("./api.js").Api} api
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<Blob>}
 */
export async function bytesOf(api, path, signal) {
  return (await api.request("GET", path, undefined, { signal })).blob();
}

const POSTER = [{ type: "loop", params: {} }]; // leaves the frame as it is, and needs no model

/**
 * A frame of a source that this browser cannot play, as an address of data; null if the server gives none.
 *
 * @param {import("./api.js").Api} api
 * @param {Source} source
 * @returns {Promise<string | null>}
 */
export async function posterOf(api, source) {
  if (source.facts && !source.poster) {
    const body = { video_url: source.path, operations: POSTER };
    const { before } = await api.json("POST", "/postprocess/preview", body).catch(() => ({ before: null }));
    source.poster = before && `data:${before.mime_type};base64,${before.base64}`;
  }
  return source.poster ?? null;
}

/**
 * Find a source anew whose link has expired.
 *
 * @param {import("./api.js").Api} api
 * @param {Source} source
 * @returns {Promise<string>} where this page finds it
 */
export async function renewed(api, source) {
  source.blob ??= await bytesOf(api, source.path);
  source.url = URL.createObjectURL(source.blob);
  return source.url;
}

/**
 * The side before. An image comes with its bytes, if the page can read them: only then can an animation be paused and
 * sought, which an `<img>` plays by itself.
 *
 * @param {import("./api.js").Api} api
 * @param {Source} source
 * @returns {Promise<Side>}
 */
export async function sideOf(api, source) {
  const { path, url, blob: own, mime, bytes, facts } = source;
  const kind = mime.startsWith("image/") ? "image" : "video";
  const isRead = kind === "image" && own === null && path.startsWith("/outputs/");
  const blob = isRead ? await bytesOf(api, path).catch(() => null) : own;
  const { width, height, fps, frames } = facts ?? {};
  const side = { kind, label: "Before", mime, width, height, fps, frames, bytes };
  const others = { poster: () => posterOf(api, source), renew: path.startsWith("/outputs/") ? () => renewed(api, source) : undefined };
  if (blob && url === null) {
    source.blob = blob;
    source.url = URL.createObjectURL(blob);
  }
  return { ...side, ...others, kind, url: source.url ?? "", blob: blob ?? undefined };
}
