"""Downloads are resumed, and under their final name there is never a part of a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from framepack.client import ApiError, AsyncClient, Client, ClientError, ServerUnreachable, Timing
from tests.client.conftest import HASTY
from tests.support.http_server import Answer, HttpServer, Received
from tests.support.rest_server import KEY

CONTENT = bytes(range(256)) * 4000
PATH = "/outputs/clip.mp4"


class Flaky:
    """A server that sends ``piece`` bytes per connection. It can change the file after the first one."""

    def __init__(self, piece: int, *, changes: bool = False) -> None:
        self.piece = piece
        self.changes = changes
        self.starts: list[int] = []

    def __call__(self, received: Received) -> Answer:
        """Answer one request."""
        version = 2 if self.changes and self.starts else 1
        content, tag = CONTENT if version == 1 else CONTENT[::-1], f'"v{version}"'
        is_same = received.headers.get("If-Range") == tag
        start = int(received.headers["Range"][6:-1]) if is_same else 0
        self.starts.append(start)
        rest = content[start:]
        sent = rest if version == 2 else rest[: self.piece]
        headers = {"ETag": tag, "Content-Length": str(len(rest))}
        ranged = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        return Answer(206 if start else 200, sent, {**headers, **ranged})


def test_a_cut_download_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    """No byte is sent twice, and nothing but the file is left."""
    with HttpServer(flaky := Flaky(300_000)) as server:
        Client(server.url, KEY, timing=HASTY).download(PATH, tmp_path / "a.mp4")
        asyncio.run(AsyncClient(server.url, KEY, timing=HASTY).download(PATH, tmp_path / "b.mp4"))

    assert flaky.starts == [0, 300_000, 600_000, 900_000] * 2
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes() == CONTENT
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_changes_in_between_is_not_mixed(tmp_path: Path) -> None:
    """The new one is downloaded from its start."""
    with HttpServer(flaky := Flaky(300_000, changes=True)) as server:
        Client(server.url, timing=HASTY).download(PATH, tmp_path / "a.mp4")

    assert flaky.starts == [0, 0]
    assert (tmp_path / "a.mp4").read_bytes() == CONTENT[::-1]


def test_a_failed_download_leaves_what_was_there(tmp_path: Path) -> None:
    """Neither a missing file nor a server that cuts every connection replaces the older one, or leaves a part."""
    target = tmp_path / "a.mp4"
    target.write_bytes(b"older")
    with HttpServer(
        lambda _: Answer(404, b'{"detail": "The stored file does not exist.", "code": "not_found"}')
    ) as server:
        with pytest.raises(ApiError, match="does not exist"):
            Client(server.url, timing=HASTY).download(PATH, target)
    with HttpServer(Flaky(0)) as server:
        with pytest.raises(ServerUnreachable, match=r"/outputs/clip.mp4 is cut each time"):
            Client(server.url, timing=Timing(first_pause=0.01, longest_pause=0.01)).download(PATH, target)
    with HttpServer(Flaky(9)) as server, pytest.raises(FileNotFoundError):
        Client(server.url, timing=HASTY).download(PATH, tmp_path / "no folder" / "a.mp4")
    with HttpServer(Flaky(9)) as server, pytest.raises(NotADirectoryError, match="is not a folder"):
        Client(server.url, timing=HASTY).download(PATH, f"{tmp_path}/no folder/")

    assert server.requests == []
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.mp4", b"older")]


def test_a_bucket_does_not_get_the_key(tmp_path: Path) -> None:
    """The server redirects to a presigned link; what is cut there is resumed through the server, too."""
    with HttpServer(flaky := Flaky(600_000)) as bucket:
        link = f"{bucket.url}/bucket/clip.mp4?X-Amz-Signature=1"
        with HttpServer(lambda _: Answer(307, headers={"Location": link})) as server:
            found = Client(server.url, KEY, timing=HASTY).download(PATH, tmp_path)

    assert (found, found.read_bytes()) == (tmp_path / "clip.mp4", CONTENT)
    assert flaky.starts == [0, 600_000]
    assert {received.headers["X-API-Key"] for received in server.requests} == {KEY}
    assert not any("X-API-Key" in received.headers for received in bucket.requests)


def part(start: int, tag: str, content: bytes = CONTENT) -> Answer:
    """A part of a file, to its end."""
    ranged = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
    return Answer(206, content[start:], {"Content-Range": ranged, "ETag": tag})


WRONG_PARTS = {
    "from the start": part(0, '"v1"'),
    "of another version": part(300_000, '"v2"', CONTENT[::-1]),
    "refused": Answer(416, b""),
}


@pytest.mark.parametrize("wrong", WRONG_PARTS.values(), ids=WRONG_PARTS)
def test_a_part_that_does_not_go_on_is_not_used(wrong: Answer, tmp_path: Path) -> None:
    """Of caches that do not understand ranges or conditions: the file is downloaded from its start."""
    cut = Answer(body=CONTENT[:300_000], headers={"ETag": '"v1"', "Content-Length": str(len(CONTENT))})
    answers = iter([cut, wrong, Answer(body=CONTENT)])
    with HttpServer(lambda _: next(answers)) as server:
        Client(server.url, timing=HASTY).download(PATH, tmp_path / "a.mp4")

    assert (tmp_path / "a.mp4").read_bytes() == CONTENT
    assert [each.headers["Range"] for each in server.requests] == [None, "bytes=300000-", None]


ODD = {
    "a part that nobody has asked for": (part(5, '"v1"'), "sends a part of a file"),
    "no gzip": (Answer(body=b"junk", headers={"Content-Encoding": "gzip"}), "cannot be decompressed"),
    "a redirect to a file": (Answer(302, headers={"Location": "file:///etc/passwd"}), "redirects to"),
}


@pytest.mark.parametrize(("answer", "sentence"), ODD.values(), ids=ODD)
def test_a_download_that_makes_no_sense_is_reported(answer: Answer, sentence: str, tmp_path: Path) -> None:
    """Nothing is left of it."""
    with HttpServer(lambda _: answer) as server, pytest.raises(ClientError, match=sentence):
        Client(server.url, timing=HASTY).download(PATH, tmp_path / "a.mp4")
    with pytest.raises(ClientError, match="is neither a path of the server"):
        Client(server.url, timing=HASTY).download(PATH[1:], tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ("..%2F..%2Fescaped.txt", "escaped.txt"),
        ("%2Fetc%2Fpasswd", "passwd"),
        ("..%5Cescaped.txt", "escaped.txt"),
        (".bashrc", "bashrc"),
        ("a%00b%0A.txt", "a_b.txt"),
        ("gr%C3%B6%C3%9Fe%20%231.png?a=/b", "größe #1.png"),
    ],
)
def test_the_name_in_a_link_leads_to_no_other_folder(end: str, name: str, tmp_path: Path) -> None:
    """A link may come from somebody else."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    with HttpServer(lambda _: Answer(body=CONTENT)) as server:
        found = Client(server.url, timing=HASTY).download(f"{server.url}/{end}", tmp_path / "a" / "b")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [found]
    assert found == tmp_path / "a" / "b" / name
