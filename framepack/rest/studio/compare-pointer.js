// @ts-check
// What pointers do on the stage: move the divider, pan, pinch, zoom by the wheel, hold to see the other side.

/** @typedef {{x: number, y: number}} Point */

/**
 * @typedef {object} Actions
 * @property {() => "divider" | "pan" | "hold" | "loupe" | null} drag what dragging does now
 * @property {(event: PointerEvent) => boolean} isOnDivider
 * @property {(clientX: number) => void} moveDivider
 * @property {(x: number, y: number) => void} pan
 * @property {(factor: number, client: Point) => boolean} zoom around a point; false if the page may scroll instead
 * @property {(isHeld: boolean) => void} hold
 * @property {(client: Point | null) => void} point where the pointer is; null if it has left
 */

/** Milliseconds after a scroll of the page in which the wheel goes on scrolling it. */
const SCROLL_MS = 300;

/**
 * @param {HTMLElement} stage
 * @param {Actions} actions
 * @param {AbortSignal} signal ends it
 */
export function followPointers(stage, actions, signal) {
  /** @type {Map<number, Point>} */
  const pointers = new Map();
  /** @type {ReturnType<Actions["drag"]>} */
  let dragging = null;

  const down = (/** @type {PointerEvent} */ event) => {
    if (event.button !== 0) {
      return;
    }
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (pointers.size > 1) {
      actions.hold(false);
      dragging = null;
      return;
    }
    dragging = actions.isOnDivider(event) ? "divider" : actions.drag();
    // A finger may be the first one of two, so the divider waits for it to move or to be lifted.
    dragging === "divider" && event.pointerType === "mouse" && actions.moveDivider(event.clientX);
    dragging === "hold" && actions.hold(true);
  };

  const move = (/** @type {PointerEvent} */ event) => {
    const client = { x: event.clientX, y: event.clientY };
    actions.point(client);
    const last = pointers.get(event.pointerId);
    if (!last) {
      return;
    }
    pointers.set(event.pointerId, client);
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1] ?? last;
      const middle = { x: (client.x + other.x) / 2, y: (client.y + other.y) / 2 };
      actions.zoom(distance(client, other) / Math.max(1, distance(last, other)), middle);
      actions.pan((client.x - last.x) / 2, (client.y - last.y) / 2);
      return;
    }
    dragging === "divider" && actions.moveDivider(client.x);
    dragging === "pan" && actions.pan(client.x - last.x, client.y - last.y);
  };

  const up = (/** @type {PointerEvent} */ event) => {
    pointers.delete(event.pointerId);
    dragging === "hold" && actions.hold(false);
    dragging === "divider" && event.type === "pointerup" && actions.moveDivider(event.clientX);
    dragging = null;
    event.pointerType !== "mouse" && actions.point(null);
  };

  let scrolled = -Infinity;
  const wheel = (/** @type {WheelEvent} */ event) => {
    // A page that scrolls on its way past the stage is not stopped by it.
    if (!event.ctrlKey && performance.now() - scrolled < SCROLL_MS) {
      scrolled = performance.now();
      return;
    }
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 16 : event.deltaY;
    const factor = Math.exp(-Math.max(-200, Math.min(200, pixels)) / (event.ctrlKey ? 100 : 400));
    if (actions.zoom(factor, { x: event.clientX, y: event.clientY })) {
      event.preventDefault();
    }
  };

  stage.addEventListener("pointerdown", down, { signal });
  stage.addEventListener("pointermove", move, { signal });
  stage.addEventListener("pointerup", up, { signal });
  stage.addEventListener("pointercancel", up, { signal });
  stage.addEventListener("pointerleave", () => actions.point(null), { signal });
  stage.addEventListener("wheel", wheel, { signal, passive: false });
  document.addEventListener("scroll", () => (scrolled = performance.now()), { signal, passive: true, capture: true });
}

/** @param {Point} a @param {Point} b */
function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
