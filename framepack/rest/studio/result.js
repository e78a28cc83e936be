// @ts-check
import { h } from "./dom.js";
/** @typedef {import("./compare.js").Side} Side */
/**
 * @param {import("./api.js").Api} api
 * @param {{onContinue: (path: string) => void}} options
 */
export function resultView(api, { onContinue }) {
  const element = h("div");
  return {
    element,
    /** @param {{operation: string, source: Side | null, answer: any}} given */
    show({ source, answer }) {
      element.replaceChildren(h("p", {}, `${source?.label} ${api.url(answer.output_url)}`), h("button", { onclick: () => onContinue(answer.output_path) }, "Continue with this"));
    },
    clear() {
      element.replaceChildren();
    },
  };
}
