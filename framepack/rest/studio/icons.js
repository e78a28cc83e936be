// @ts-check
// The icons of the page: strokes on a grid of 24 x 24, in the color of the text around them.

const PATHS = /** @type {Record<string, string>} */ ({
  upscale: "M4 14v6h6M20 10V4h-6M4 20l7-7M20 4l-7 7",
  interpolate: "M3 6v12M8 8v8M13 6v12M18 8v8M21 12h.01M5.5 12h.01M10.5 12h.01M15.5 12h.01",
  filters: "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
  loop: "M17 3l3 3-3 3M20 6H8a4 4 0 0 0-4 4v1M7 21l-3-3 3-3M4 18h12a4 4 0 0 0 4-4v-1",
  export: "M12 15V4M8 8l4-4 4 4M5 13v5a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2v-5",
  pipeline: "M4 6h6v4H4zM14 14h6v4h-6zM7 10v4a2 2 0 0 0 2 2h5M17 14v-2",
  pipeline_from_preset: "M6 3h12v18l-6-4-6 4z",
  join: "M3 6h7v12H3zM14 6h7v12h-7zM10 12h4",
  extract_frames: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  reassemble_frames: "M3 8h18v11H3zM6 5h12M8 2h8",
  caption_image: "M4 5h16v11H9l-5 4zM8 9h8M8 12h5",
  enhance_prompt: "M12 3l1.8 5.2L19 10l-5.2 1.8L12 17l-1.8-5.2L5 10l5.2-1.8zM19 16v4M17 18h4",
  clip: "M4 5h16v14H4zM10 9l5 3-5 3z",
  up: "M6 15l6-6 6 6",
  down: "M6 9l6 6 6-6",
  remove: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  handle: "M9 6h.01M15 6h.01M9 12h.01M15 12h.01M9 18h.01M15 18h.01",
  upload: "M12 16V5M7 9l5-5 5 5M4 20h16",
});

/**
 * An icon, which says nothing to screen readers.
 *
 * @param {string} name of an icon or operation; others look like a clip
 */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", PATHS[name] ?? PATHS.clip);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  svg.append(path);
  return svg;
}
