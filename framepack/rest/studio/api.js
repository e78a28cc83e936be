// @ts-check
// The requests of this page to its server.

/** A request that the server refused, or did not answer; the message is a sentence for the user. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status of HTTP; 0 if the server does not answer
   * @param {string} code its stable name in docs/errors.md
   */
  constructor(message, status, code) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** The field that the sentence begins with, such as `brightness` or `operations[0].params.brightness`; null if none. */
  get field() {
    return this.status === 400 ? (/^[a-z][\w.[\]]*/.exec(this.message)?.[0] ?? null) : null;
  }
}

/** @typedef {{signal?: AbortSignal, headers?: Record<string, string>}} Options */

/** One server, with the key that it asks for. */
export class Api {
  /** @param {URL} base the folder of the page, which may be below the path of a proxy */
  constructor(base = new URL(".", document.baseURI)) {
    this.base = base;
    /** @type {string | null} */
    this.key = null;
    /** Called when the server no longer accepts the key. */
    this.onUnauthorized = () => {};
    /** Called when the server does not answer. */
    this.onNoResponse = () => {};
  }

  /**
   * Where this browser finds a path of the server. Links to files of the server may name the host that others know it
   * by, so only their path and query count; links to a bucket stay as they are.
   *
   * @param {string} path a path such as `/jobs`, or a link of an answer
   */
  url(path) {
    const link = new URL(path, this.base);
    const isOfBucket = link.origin !== this.base.origin && !link.searchParams.has("signature");
    if (isOfBucket) {
      return link;
    }
    const isPath = path.startsWith("/");
    const outputs = link.pathname.indexOf("/outputs/"); // the server may be known below another path, too
    if (!isPath && outputs < 0) {
      return link;
    }
    const own = isPath ? link.pathname : link.pathname.slice(outputs);
    return new URL(`.${own}${link.search}`, this.base);
  }

  /**
   * The server's response, which is not an error.
   *
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body] sent as JSON
   * @param {Options} [options]
   * @throws {ApiError}
   */
  async request(method, path, body, options = {}) {
    const headers = new Headers({ ...(this.key ? { "X-API-Key": this.key } : {}), ...options.headers });
    if (body !== undefined) {
      headers.set("Content-Type", "application/json");
    }
    const text = body === undefined ? undefined : JSON.stringify(body);
    let response;
    try {
      // Without credentials, a browser does not open a login window of its own.
      response = await fetch(this.url(path), { method, headers, body: text, signal: options.signal, credentials: "omit" });
    } catch (error) {
      throw options.signal?.aborted ? error : this.noResponse();
    }
    if (!response.ok) {
      throw this.refusal(response.status, await response.text());
    }
    return response;
  }

  /**
   * The parsed answer of a request.
   *
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @param {Options} [options]
   * @returns {Promise<any>}
   * @throws {ApiError}
   */
  async json(method, path, body, options) {
    return (await this.request(method, path, body, options)).json();
  }

  /**
   * Upload a file, and return the answer of `POST /uploads`.
   *
   * @param {File} file
   * @param {{onProgress?: (fraction: number) => void, signal?: AbortSignal}} [options]
   * @returns {Promise<any>}
   */
  upload(file, { onProgress, signal } = {}) {
    // fetch() does not tell how much it has sent.
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file);
    return new Promise((resolve, reject) => {
      request.upload.onprogress = (event) => event.lengthComputable && onProgress?.(event.loaded / event.total);
      request.onload = () =>
        request.status === 200 ? resolve(JSON.parse(request.responseText)) : reject(this.refusal(request.status, request.responseText));
      request.onerror = () => reject(this.noResponse());
      request.onabort = () => reject(new DOMException("The upload was stopped.", "AbortError"));
      signal?.addEventListener("abort", () => request.abort());
      request.open("POST", this.url("/uploads"));
      request.setRequestHeader("X-API-Key", this.key ?? "");
      request.send(form);
    });
  }

  /** The error of a request without an answer. */
  noResponse() {
    this.onNoResponse();
    return new ApiError("The server does not respond.", 0, "no_response");
  }

  /**
   * The error of a response. A proxy's may not be ours.
   *
   * @param {number} status
   * @param {string} text
   */
  refusal(status, text) {
    if (status === 401) {
      this.onUnauthorized();
    }
    try {
      const { detail, code } = JSON.parse(text);
      if (typeof detail === "string") {
        return new ApiError(detail, status, String(code ?? "unknown"));
      }
    } catch {
      // not JSON
    }
    return new ApiError(`The server responded with status ${status}.`, status, "unknown");
  }
}
