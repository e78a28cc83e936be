// @ts-check
// Loads the page's modules, and says so if that fails.

/** @param {string} sentence */
function show(sentence) {
  const place = document.getElementById("loading") ?? document.body.appendChild(document.createElement("p"));
  place.setAttribute("role", "alert");
  place.className = "no-page";
  place.textContent = sentence;
}

import("./main.js")
  .then(({ start }) => start())
  .catch((error) => show(`The page could not be loaded: ${error.message}. Reload it to try again.`));
