// @ts-check
// The icons of the comparison's buttons, drawn with lines on a grid of 24 x 24.

const PATHS = {
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12M14.8 12a2.8 2.8 0 1 1-5.6 0 2.8 2.8 0 0 1 5.6 0",
  back: "M15 6 9 12l6 6M5 6v12",
  divider: "M12 3v18M8 8l-4 4 4 4M16 8l4 4-4 4",
  flip: "M5 4h14v16H5zM5 12h14M10 8l2-2 2 2M10 16l2 2 2-2",
  forward: "m9 6 6 6-6 6M19 6v12",
  fullscreen: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  help: "M9.2 9a2.9 2.9 0 1 1 4.3 2.5c-1 .6-1.5 1.1-1.5 2.3M12 17.5v.1M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0",
  loop: "M17 3l3 3-3 3M20 6H8a4 4 0 0 0-4 4v1M7 21l-3-3 3-3M4 18h12a4 4 0 0 0 4-4v-1",
  loupe: "M16.5 10.5a6 6 0 1 1-12 0 6 6 0 0 1 12 0M15 15l5.5 5.5M10.5 8v5M8 10.5h5",
  muted: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM16 9.5l5 5M21 9.5l-5 5",
  pause: "M8 5v14M16 5v14",
  play: "M7 4.5v15l12-7.5z",
  side: "M3.5 5.5h7v13h-7zM13.5 5.5h7v13h-7z",
  audio: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4 4 0 0 1 0 6M18 6.5a7.5 7.5 0 0 1 0 11",
  zoomIn: "M12 5v14M5 12h14",
  zoomOut: "M5 12h14",
};

/** @typedef {keyof typeof PATHS} IconName */

/**
 * An icon, which screen readers skip: the button around it has a label.
 *
 * @param {IconName} name
 */
export function icon(name) {
  const namespace = "http://www.w3.org/2000/svg";
  const image = document.createElementNS(namespace, "svg");
  const path = document.createElementNS(namespace, "path");
  image.setAttribute("viewBox", "0 0 24 24");
  image.setAttribute("aria-hidden", "true");
  image.classList.add("compare-icon");
  path.setAttribute("d", PATHS[name]);
  image.append(path);
  return image;
}
