// @ts-check
// The frames studio's place in the page: the folders of the server, one of which is open.

import { h } from "./dom.js";
import "./frames.js";

/**
 * @param {import("./api.js").Api} api
 * @param {HTMLElement} place
 */
export function framesView(api, place) {
  const frames = /** @type {import("./frames.js").FramesStudio} */ (document.createElement("frames-studio"));
  const folders = h("ul", { class: "folders" });
  const none = h("p", { class: "muted" }, "There are no frames yet. Run ", h("strong", {}, "Extract frames"), " on a clip to get some.");
  const error = h("p", { class: "error", role: "alert" });
  frames.api = api;
  place.append(h("h2", {}, "Frames"), folders, none, error, frames);

  async function refresh() {
    try {
      const { folders: found } = await api.json("GET", "/frames/folders");
      error.textContent = "";
      none.hidden = found.length > 0;
      folders.replaceChildren(
        ...found.map((/** @type {string} */ each) => h("li", {}, h("button", { type: "button", class: "chip", onclick: () => frames.open(each) }, each))),
      );
    } catch (refused) {
      error.textContent = refused instanceof Error ? refused.message : String(refused);
    }
  }

  return {
    refresh,
    /** @param {string} folder */
    open(folder) {
      refresh();
      frames.open(folder);
    },
  };
}
