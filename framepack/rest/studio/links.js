// @ts-check
// Links to files, which expire, and what to say of a file that is not shown.

/** @typedef {"expired" | "gone" | "failing" | "no_response" | "hidden"} Reason why a link does not give its file */

/** Some buckets answer 400 for a link that has expired. */
const REASONS = /** @type {Record<number, Reason>} */ ({ 400: "expired", 401: "expired", 403: "expired", 404: "gone", 410: "gone" });
const SENTENCES = {
  expired: "The link to this file has expired.",
  gone: "This file does not exist any more.",
  failing: "The server cannot send this file at the moment.",
  no_response: "The server does not respond.",
};

/**
 * Why a link does not give its file; null if it does. `hidden`: another origin, which lets a page show the file but not
 * read it, so the page cannot tell. Browsers report a link that is refused like a file that they cannot play.
 *
 * @param {string} url
 * @returns {Promise<Reason | null>}
 */
export async function whyNoFile(url) {
  const { protocol, href, origin } = new URL(url, document.baseURI);
  if (!/^https?:$/.test(protocol)) {
    return null;
  }
  try {
    const { status, body } = await fetch(href, { headers: { Range: "bytes=0-0" }, credentials: "omit", cache: "no-store" });
    body?.cancel();
    return REASONS[status] ?? (status >= 500 ? "failing" : null);
  } catch {
    return origin === location.origin ? "no_response" : "hidden";
  }
}

/** What to say of a link that does not give its file; empty if it may give it. @param {Reason | null} reason */
export function noFile(reason) {
  return reason === null || reason === "hidden" ? "" : SENTENCES[reason];
}

/** Whether a new link may give the file. @param {Reason | null} reason */
export function mayBeExpired(reason) {
  return reason === "expired" || reason === "hidden";
}

/** What to say of a file that is there. @param {{kind: "image" | "video", mime?: string}} file */
export function cannotShow({ kind, mime }) {
  return `This browser cannot ${kind === "video" ? "play this video" : "show this image"}${mime ? ` (${mime})` : ""}.`;
}
