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

/**
 * The side before. An image comes with its bytes, if the page can read them: only then can an animation be paused and
 * sought, which an `<img>` plays by itself.
 *
 * @param {import("./api.js").Api} api
 * @param {Source} source
 * @returns {Promise<Side>}
 */
export async function sideOf(api, { path, url, blob: own, mime, bytes, facts }) {
  const kind = mime.startsWith("image/") ? "image" : "video";
  const isRead = kind === "image" && own === null && path.startsWith("/outputs/");
  const blob = isRead ? await bytesOf(api, path).catch(() => null) : own;
  const { width, height, fps, frames } = facts ?? {};
  const side = { kind, label: "Before", mime, width, height, fps, frames, bytes };
  return { ...side, kind, url: url ?? (blob ? URL.createObjectURL(blob) : ""), blob: blob ?? undefined };
}
