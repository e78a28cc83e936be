// @ts-check
// Links to files, which expire, and what to say of a file that is not shown.

/** What to say of a link that does not give its file. */
export const NO_FILE = {
  expired: "The link to this file has expired.",
  gone: "This file does not exist any more.",
  failing: "The server cannot send this file at the moment.",
  no_response: "The server does not respond.",
};

/**
 * Why a link does not give its file; null if it does, or if this page cannot tell. Browsers report a link that is
 * refused like a file that they cannot play.
 *
 * @param {string} url
 * @returns {Promise<keyof typeof NO_FILE | null>}
 */
export async function whyNoFile(url) {
  const { protocol, href, origin } = new URL(url, document.baseURI);
  if (!/^https?:$/.test(protocol)) {
    return null;
  }
  try {
    const { status, body } = await fetch(href, { headers: { Range: "bytes=0-0" }, credentials: "omit", cache: "no-store" });
    body?.cancel();
    const reasons = /** @type {Record<number, keyof typeof NO_FILE>} */ ({ 401: "expired", 403: "expired", 404: "gone", 410: "gone" });
    return reasons[status] ?? (status >= 500 ? "failing" : null);
  } catch {
    // Another origin may let a page show the file but not read it.
    return origin === location.origin ? "no_response" : null;
  }
}

/** What to say of a file that is there. @param {{kind: "image" | "video", mime?: string}} file */
export function cannotShow({ kind, mime }) {
  return `This browser cannot ${kind === "video" ? "play this video" : "show this image"}${mime ? ` (${mime})` : ""}.`;
}
