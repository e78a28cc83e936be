// @ts-check
// Files that are dropped on the page.

/**
 * Take a file that is dropped anywhere on the page, unless it falls on something that takes it itself.
 *
 * @param {{isWanted: () => boolean, mark: (isOver: boolean) => void, take: (file: File) => void}} place
 *   `isWanted`: whether a file can be taken now; else it is dropped without effect
 */
export function followDrops({ isWanted, mark, take }) {
  /** @param {DragEvent} event */
  const isOurs = (event) => !event.defaultPrevented && Boolean(event.dataTransfer?.types.includes("Files"));
  for (const name of /** @type {const} */ (["dragenter", "dragover"])) {
    window.addEventListener(name, (event) => {
      if (isOurs(event)) {
        event.preventDefault();
        mark(isWanted());
        if (event.dataTransfer && !isWanted()) {
          event.dataTransfer.dropEffect = "none";
        }
      }
    });
  }
  window.addEventListener("dragleave", (event) => event.relatedTarget === null && mark(false));
  window.addEventListener("drop", (event) => {
    mark(false);
    const file = isOurs(event) && event.dataTransfer?.files[0];
    if (file) {
      event.preventDefault();
      isWanted() && take(file);
    }
  });
}
