// @ts-check
// What this tab knows of the jobs that it started: the request and its source, which the server does not keep.

/** @typedef {import("./player.js").Source} Source */
/** @typedef {{operation: string, body: Record<string, unknown>, source: Source | null}} Memory */

const KEPT = "framepack.jobs";
const MOST = 30;

/** @returns {[string, Memory][]} */
function all() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
  } catch {
    return [];
  }
}

/** @type {Map<string, Memory>} those of this page, whose files it still has */
const here = new Map();

/**
 * Remember a job.
 *
 * @param {string} id
 * @param {Memory} memory
 */
export function remember(id, memory) {
  here.set(id, memory);
  const source = memory.source && { ...memory.source, url: memory.source.link, blob: null, poster: null };
  const rest = all().filter(([other]) => other !== id);
  sessionStorage.setItem(KEPT, JSON.stringify([[id, { ...memory, source }], ...rest].slice(0, MOST)));
}

/**
 * What is remembered of a job; null if this tab did not start it.
 *
 * @param {string} id
 * @returns {Memory | null}
 */
export function recall(id) {
  const found = here.get(id) ?? all().find(([other]) => other === id)?.[1] ?? null;
  if (found) {
    here.set(id, found); // one object, which gets new links
  }
  return found;
}
