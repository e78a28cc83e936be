// @ts-check
// Links to files, which expire.

/** What to say of a link that does not give its file. */
export const NO_FILE = { expired: "The link to this file has expired.", gone: "This file does not exist any more." };

/**
 * Why a link does not give its file; null if it does, or if this page cannot tell. Browsers report a link that is
 * refused like a file that they cannot play.
 *
 * @param {string} url
 * @returns {Promise<"expired" | "gone" | null>}
 */
export async function whyNoFile(url) {
  if (!/^https?:/.test(new URL(url, document.baseURI).href)) {
    return null;
  }
  try {
    const { status, body } = await fetch(url, { headers: { Range: "bytes=0-0" }, credentials: "omit", cache: "no-store" });
    body?.cancel();
    return status === 401 || status === 403 ? "expired" : status === 404 || status === 410 ? "gone" : null;
  } catch {
    return null; // another origin, which lets a page show the file but not read it
  }
}
