// @ts-check
// Several clips in order, for operations that take more than one.

import { h } from "./dom.js";
import { latestOnly } from "./latest.js";
import { sortable } from "./sortable.js";

/** @typedef {import("./player.js").Source} Source */

/**
 * A list of clips. The one that is open on the page comes first, until it is removed.
 *
 * @param {import("./api.js").Api} api
 * @param {() => void} onChange
 */
export function clipList(api, onChange) {
  const list = /** @type {ReturnType<typeof sortable<{title: string, path: string}>>} */ (sortable("Clips, in order", onChange));
  const file = h("input", { type: "file", id: "more-files", class: "visually-hidden", multiple: true, accept: "video/*,image/gif,.mkv,.ts,.mov", onchange: chosen });
  const address = h("input", { type: "text", "aria-label": "Address of another clip", placeholder: "https://…", autocomplete: "off", required: true });
  const status = h("p", { role: "status", class: "muted" });
  const lists = latestOnly();
  let opened = "";
  const error = h("p", { class: "error", role: "alert" });
  const element = h(
    "div",
    { class: "clips" },
    list.element,
    h("div", { class: "chips" }, h("label", { for: "more-files", class: "button" }, "Add clips"), file),
    h("form", { class: "inline", onsubmit: addAddress }, address, h("button", {}, "Add")),
    status,
    error,
  );

  async function chosen() {
    const signal = lists.present();
    const files = [...(file.files ?? [])];
    file.value = "";
    error.textContent = "";
    for (const each of files) {
      try {
        status.textContent = `Uploading ${each.name} …`;
        const { video_url: path } = await api.upload(each, { signal });
        list.add({ title: each.name, path });
      } catch (refused) {
        if (signal.aborted) {
          return; // another list is shown
        }
        error.textContent = `${each.name}: ${refused instanceof Error ? refused.message : refused}`;
      }
    }
    status.textContent = "";
  }

  /** @param {Event} event */
  function addAddress(event) {
    event.preventDefault();
    const path = address.value.trim();
    list.add({ title: path.split(/[?#]/)[0].split("/").pop() || path, path });
    address.value = "";
  }

  return {
    element,
    /** @param {Source} source */
    open(source) {
      if (source.path !== opened && !list.entries().some((each) => each.path === source.path)) {
        list.add({ title: source.name, path: source.path }, 0);
      }
      opened = source.path; // once only: it may be removed
    },
    paths: () => list.entries().map((each) => each.path),
    /** @param {string[]} paths */
    set(paths) {
      lists.begin();
      status.textContent = error.textContent = "";
      list.clear();
      paths.forEach((path) => list.add({ title: path.split("/").pop() ?? path, path }));
    },
    /** @param {string} message */
    setError: (message) => (error.textContent = message),
  };
}
