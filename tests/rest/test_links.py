"""Links are signed alike by all processes of a deployment, and a bucket gives its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from framepack.rest.server import Server
from framepack.runtime import Runtime
from framepack.settings import Settings
from framepack.storage.keys import Key
from framepack.storage.links import LinkSigner
from framepack.storage.local import LocalStorage
from framepack.storage.open import link_signer
from tests.support.rest_server import HeldBackend, server_in_thread
from tests.support.s3_server import S3Server

CONTENT = bytes(range(256)) * 40
VIDEO = Key("postprocessed_output/temp_processing/clip_upscaled (1).mp4")
REFUSAL = {"detail": "Invalid or missing API key", "code": "unauthorized"}


def test_processes_that_start_together_share_one_link_secret(tmp_path: Path) -> None:
    """A link signed by one is valid for all."""
    for attempt in range(20):
        stores = [LocalStorage(tmp_path / str(attempt)) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            signers = list(pool.map(lambda store: link_signer(Settings(), store), stores))
        assert len({signer.secret for signer in signers}) == 1
        assert link_signer(Settings(), stores[0]).secret == signers[0].secret
        assert (tmp_path / str(attempt) / "state/settings/link-secret.json").stat().st_mode & 0o777 == 0o600


def test_a_configured_link_secret_is_used_and_not_stored(tmp_path: Path) -> None:
    """No secret is generated."""
    store = LocalStorage(tmp_path)

    signer = link_signer(Settings(link_secret="a secret of ours"), store)

    assert signer.secret == b"a secret of ours"
    assert list(store.list()) == []


def test_files_in_a_bucket_are_redirected_to_a_presigned_url(s3: S3Server, tmp_path: Path) -> None:
    """This needs a key."""
    settings: dict[str, Any] = {
        "storage": f"s3://{s3.make_bucket()}/deep",
        "bucket_endpoint_url": s3.endpoint_url,
        "bucket_access_key_id": s3.access_key,
        "bucket_secret_access_key": s3.secret_key,
    }
    with server_in_thread(tmp_path, HeldBackend(), **settings) as client:
        client.server.runtime.storage.put_bytes(VIDEO, CONTENT)

        sent_on = client.get(f"/outputs/{VIDEO}", allow_redirects=False)

        assert sent_on.status_code == 307
        assert requests.get(sent_on.headers["location"], timeout=30).content == CONTENT
        assert (
            requests.get(sent_on.headers["location"], headers={"Range": "bytes=0-9"}, timeout=30).content
            == CONTENT[:10]
        )
        assert client.get("/outputs/state/jobs/x.json").status_code == 404
        assert client.get("/outputs/gone.mp4").status_code == 404
        query = LinkSigner(b"guessed", 60).query(VIDEO)
        assert requests.get(f"{client.url}/outputs/{VIDEO}?{query}", timeout=30).json() == REFUSAL


def test_without_a_public_url_there_are_no_links(tmp_path: Path) -> None:
    """No secret is generated either."""
    server = Server(Runtime(Settings(storage=f"file:{tmp_path}")), HeldBackend(), HeldBackend())

    assert server.runtime.storage.url(VIDEO) is None
    assert list(tmp_path.iterdir()) == []
