"""Receives the callbacks of the server and checks their signature. It needs only Python.

    FRAMEPACK_WEBHOOK_SECRET=whsec_... python webhook_receiver.py 8080

Start the server with the same secret, and give this address as `callback_url`. Every message is answered within the
20 seconds that the server waits; longer work belongs behind the answer. Messages that were answered with another
status than 2xx come again for three days.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["FRAMEPACK_WEBHOOK_SECRET"]
KEY = base64.b64decode(SECRET.removeprefix("whsec_")) if SECRET.startswith("whsec_") else SECRET.encode()
MAX_AGE_SECONDS = 300
MAX_BODY_BYTES = 20_000_000

seen: set[str] = set()  # a real application keeps these in its database


def is_signed(headers, body: bytes) -> bool:
    """Whether a message comes from the server, and is not a recorded one."""
    identity, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > MAX_AGE_SECONDS:
        return False
    expected = hmac.digest(KEY, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256)
    signatures = headers.get("webhook-signature", "").split()  # several while a secret is being changed
    return any(hmac.compare_digest(each, "v1," + base64.b64encode(expected).decode()) for each in signatures)


def handle(message: dict) -> None:
    """What the application does with the end of a job."""
    if message["success"]:
        print(f"{message['operation']} {message['job_id']}: {message.get('output_url')}", flush=True)
    else:
        print(f"{message['operation']} {message['job_id']} failed: {message.get('error')}", flush=True)


class Receiver(BaseHTTPRequestHandler):
    """Answers the server."""

    def do_POST(self) -> None:
        """Accept a message that is signed, once."""
        size = int(self.headers.get("content-length", 0))
        body = self.rfile.read(size) if size <= MAX_BODY_BYTES else b""
        if not is_signed(self.headers, body):
            self.send_error(401, "The signature is wrong or too old")
            return
        if self.headers["webhook-id"] not in seen:  # the same message may come twice
            handle(json.loads(body))
            seen.add(self.headers["webhook-id"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print only what `handle` prints."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
