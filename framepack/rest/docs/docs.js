// Asks for the API key once, and shows the API with it.

import { Api } from "../studio/api.js";
import { forgetKey, signIn } from "../studio/key.js";

const login = document.getElementById("login");
const forget = document.getElementById("forget");

/** The request of the documentation, with the key if it goes to this server. */
function withKey(request, key) {
  if (new URL(request.url, location.href).origin === location.origin) {
    request.headers = { "X-API-Key": key, ...request.headers };
  }
  return request;
}

/** Show the API, with a key that the server has accepted. */
function show(key) {
  const ui = SwaggerUIBundle({
    url: "./openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
    requestInterceptor: (request) => withKey(request, key),
    onComplete: () => ui.preauthorizeApiKey("ApiKey", key),
  });
}

forget.addEventListener("click", () => {
  forgetKey();
  location.reload();
});

const api = new Api();
const { key } = await signIn(login, (given) => {
  api.key = given;
  return api.request("GET", "/openapi.json");
});
forget.hidden = false;
show(key);
