// Asks for the API key once, keeps it in this tab, and shows the API with it.

const KEPT = "framepack.key"; // in the tab's storage, which other pages of this server share
const PRINTABLE = /^[\x21-\x7e]+$/;

const login = document.getElementById("login");
const field = document.getElementById("key");
const message = document.getElementById("message");
const forget = document.getElementById("forget");

/** The key after `#key=` in the address, which is removed from there, or else the kept one; null without either. */
function givenKey() {
  const given = location.hash.startsWith("#key=") ? new URLSearchParams(location.hash.slice(1)).get("key") : null;
  if (given !== null) {
    history.replaceState(null, "", location.pathname + location.search);
  }
  return given || sessionStorage.getItem(KEPT);
}

/** Ask the server whether a key is valid. Throws an Error with a sentence for the user if it is not. */
async function check(key) {
  if (!PRINTABLE.test(key)) {
    throw new Error("This API key is not valid.");
  }
  let response;
  try {
    // Without credentials, a browser does not open a login window of its own.
    response = await fetch("./openapi.json", { headers: { "X-API-Key": key }, credentials: "omit", cache: "no-store" });
  } catch {
    throw new Error("The server does not respond.");
  }
  if (response.status === 401) {
    throw new Error("This API key is not valid.");
  }
  if (!response.ok) {
    throw new Error(`The server responded with status ${response.status}.`);
  }
}

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

/** Open the page with a key, or say why not. */
async function open(key) {
  message.textContent = "";
  try {
    await check(key);
    sessionStorage.setItem(KEPT, key);
    login.hidden = true;
    forget.hidden = false;
    show(key);
  } catch (error) {
    sessionStorage.removeItem(KEPT);
    login.hidden = false;
    message.textContent = error.message;
    field.focus();
  }
}

login.addEventListener("submit", (event) => {
  event.preventDefault();
  open(field.value.trim());
});
forget.addEventListener("click", () => {
  sessionStorage.removeItem(KEPT);
  location.reload();
});

const key = givenKey();
if (key) {
  open(key);
} else {
  login.hidden = false;
  field.focus();
}
