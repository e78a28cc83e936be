// @ts-check
// The start of the page: the key, then its parts.

import "./frames.js";
import { Api } from "./api.js";
import { byId, keepFocus } from "./dom.js";
import { healthView } from "./health.js";
import { followAddress, forgetKey, signIn } from "./key.js";
import { studio } from "./studio.js";

const TITLE = "FramePack studio";

/** Show one of the two halves of the page. @param {"clip" | "frames"} half */
function showHalf(half) {
  for (const each of ["clip", "frames"]) {
    byId(`${each}-half`).hidden = each !== half;
    byId(`${each}-tab`).setAttribute("aria-current", String(each === half));
  }
}

/** Start the page. */
export async function start() {
  const api = new Api();
  const form = /** @type {HTMLFormElement} */ (byId("sign-in"));
  const open = (/** @type {string} */ key) => {
    api.key = key;
    return api.json("GET", "/openapi.json");
  };
  byId("loading").remove();
  let isAsked = false; // a person who enters the key goes on from there
  form.addEventListener("submit", () => (isAsked = true), { once: true });
  const { answer: document } = await signIn(form, open);
  let isAsking = false;
  api.onUnauthorized = async () => {
    if (!isAsking) {
      isAsking = true;
      forgetKey();
      const focused = window.document.activeElement;
      await signIn(form, open, "The server does not accept the API key any more. Enter the new one to go on.");
      keepFocus(true, focused instanceof HTMLElement && focused.matches(":enabled") ? focused : byId("run"));
      isAsking = false;
    }
  };
  followAddress(form, (key) => open(key).catch(() => {})); // one that is not accepted is asked for again
  byId("forget").addEventListener("click", () => {
    forgetKey();
    location.hash = "";
    location.reload();
  });
  byId("head-state").append(healthView(api));
  byId("page-nav").hidden = false;
  byId("forget").hidden = false;
  byId("parts").hidden = false;
  const frames = /** @type {import("./frames.js").FramesStudio} */ (window.document.createElement("frames-studio"));
  frames.api = api;
  byId("frames").append(frames);
  const page = studio(api, document, {
    onSource: (source) => (frames.source = source && { url: source.path, name: source.name }),
    openFrames(folder) {
      showHalf("frames");
      frames.open(folder);
    },
    onTitle: (text) => (window.document.title = text ? `${text} · ${TITLE}` : TITLE),
  });
  if (isAsked) {
    page.focus();
  }
  byId("clip-tab").addEventListener("click", () => showHalf("clip"));
  byId("frames-tab").addEventListener("click", () => {
    showHalf("frames");
    frames.refresh();
  });
  frames.addEventListener("result", (event) => {
    showHalf("clip");
    page.showMade("reassemble_frames", /** @type {CustomEvent} */ (event).detail);
  });
}
