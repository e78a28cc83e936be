"""Receives the callbacks of the server and checks their signature. It needs only Python.

    FRAMEPACK_WEBHOOK_SECRET=whsec_... python webhook_receiver.py 8080

Start the server with the same secret, and give this address as `callback_url`. Every message is answered within the
20 seconds that the server waits; longer work belongs behind the answer. Messages that were answered with another
status than 2xx come again for three days.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import sys
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["FRAMEPACK_WEBHOOK_SECRET"]
KEY = base64.b64decode(SECRET.removeprefix("whsec_")) if SECRET.startswith("whsec_") else SECRET.encode()
MAX_AGE_SECONDS = 300
MAX_BODY_BYTES = 20_000_000

seen: set[str] = set()  # a real application keeps these in its database


def is_signed(headers, body: bytes) -> bool:
    """Whether a message comes from the server, and is not a recorded one."""
    identity, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not re.fullmatch("[0-9]{1,20}", timestamp) or abs(time.time() - int(timestamp)) > MAX_AGE_SECONDS:
        return False
    expected = hmac.digest(KEY, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256)
    signatures = headers.get("webhook-signature", "").split()  # several while a secret is being changed
    return any(hmac.compare_digest(each.encode(), b"v1," + base64.b64encode(expected)) for each in signatures)


def handle(message: dict) -> None:
    """What the application does with the end of a job."""
    if message["success"]:
        print(f"{message['operation']} {message['job_id']}: {message.get('output_url')}", flush=True)
    else:
        print(f"{message['operation']} {message['job_id']} failed: {message.get('error')}", flush=True)


class Receiver(BaseHTTPRequestHandler):
    """Answers the server."""

    timeout = 20  # seconds in which a client may be silent

    def handle(self) -> None:
        """Serve a client until it hangs up, wherever that is."""
        with contextlib.suppress(OSError):
            super().handle()

    def do_POST(self) -> None:
        """Answer a message."""
        self.send_response(self.receive())
        self.end_headers()

    def receive(self) -> int:
        """Accept a message that is signed, once; return the status of the answer."""
        size = self.headers.get("content-length", "0")
        if not re.fullmatch("[0-9]{1,20}", size) or int(size) > MAX_BODY_BYTES:
            return 413
        body = self.rfile.read(int(size))
        if not is_signed(self.headers, body):
            return 401  # the signature is wrong or too old
        if self.headers["webhook-id"] not in seen:  # the same message may come twice
            try:
                handle(json.loads(body))
            except Exception:  # noqa: BLE001 - whatever it is, the server shall hear of it
                traceback.print_exc()
                return 500  # the message comes again
            seen.add(self.headers["webhook-id"])
        return 204

    def log_message(self, *_: object) -> None:
        """Print only what `handle` prints."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
