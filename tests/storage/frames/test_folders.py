"""Frame folders, with both stores: natural order, never half, and nothing left behind."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from framepack.errors import Conflict, NotFound, StorageFailed
from framepack.files.removed import RemovedFiles
from framepack.storage.base import Storage, StoredObject
from framepack.storage.frames import unfinished
from framepack.storage.frames.folders import FrameFolders, folder_key, natural, remove_unfinished_folders, sheet_key
from framepack.storage.frames.record import FolderRecord, audio_key
from framepack.storage.frames.writer import FolderWriter, new_folder
from framepack.storage.keys import Key
from framepack.storage.s3.client import S3Tuning
from framepack.storage.s3.storage import S3Storage
from tests.support.s3_server import S3Server
from tests.support.storage_case import OpenS3

RECORD = FolderRecord(
    source_name="clip", fps="30000/1001", extraction_rate=3, frame_count=4, width=2, height=2, colors=[1, 1, 1]
)
FOLDER = "clip_extracted_every_3_241204_143522_1abcde"


def fill(writer: FolderWriter, tmp_path: Path, count: int = 4) -> None:
    """Put everything that a folder can have."""
    audio = tmp_path / "audio.mka"
    audio.write_bytes(b"audio")
    writer.put_audio(audio)
    for position in range(count):
        writer.put_frame(position, f"png {position}".encode())
    writer.put_sheet(b"sheet")


def make(storage: Storage, tmp_path: Path, folder: str = FOLDER) -> None:
    """An extracted folder of four frames."""
    with new_folder(storage, folder) as writer:
        fill(writer, tmp_path)
        writer.finish(RECORD)


def names(folders: FrameFolders, folder: str = FOLDER) -> list[str]:
    """The frames of a folder."""
    return [stored.key.name for stored in folders.frames(folder)]


def objects(storage: Storage) -> list[str]:
    """Everything in the store."""
    return [str(stored.key) for stored in storage.list()]


def test_a_folder_appears_when_it_is_finished(storage: Storage, tmp_path: Path) -> None:
    """Until then it is not listed and its frames are not found; then all of it is there."""
    folders = FrameFolders(storage)
    with new_folder(storage, FOLDER) as writer:
        fill(writer, tmp_path)
        assert folders.names() == []
        for look in (folders.frames, folders.delete, lambda name: folders.frame(name, "frame_000000.png")):
            with pytest.raises(NotFound, match=f"^Folder '{FOLDER}' not found$"):
                look(FOLDER)
        writer.finish(RECORD)
    assert folders.names() == [FOLDER]
    assert names(folders) == [f"frame_00000{position}.png" for position in range(4)]
    assert storage.read(folders.frame(FOLDER, "frame_000002.png").key) == b"png 2"
    assert folders.record(FOLDER) == RECORD
    assert len(objects(storage)) == 7


def test_an_unfinished_folder_leaves_nothing(storage: Storage, tmp_path: Path) -> None:
    """An error on the way, or a block that ends without finishing, removes whatever was put."""

    def interrupted() -> None:
        with new_folder(storage, FOLDER) as writer:
            fill(writer, tmp_path)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert objects(storage) == []
    with new_folder(storage, FOLDER) as writer:
        fill(writer, tmp_path)
    assert objects(storage) == []


def test_deleting_a_folder_removes_all_of_it(storage: Storage, tmp_path: Path) -> None:
    """Frames, sheet, audio, record and what a user put there go; folders of similar names stay."""
    make(storage, tmp_path)
    make(storage, tmp_path, FOLDER + "f")
    left = [name for name in objects(storage) if FOLDER + "f" in name]
    storage.put_bytes(folder_key(FOLDER) / "notes" / "mine.txt", b"")
    folders = FrameFolders(storage)
    folders.delete(FOLDER)
    assert folders.names() == [FOLDER + "f"]
    assert objects(storage) == left
    with pytest.raises(NotFound, match=f"^Folder '{FOLDER}' not found$"):
        folders.delete(FOLDER)


def test_deleting_a_frame_keeps_the_others(storage: Storage, tmp_path: Path) -> None:
    """Nothing is renumbered, a second deletion says what is missing, and an emptied folder is still one."""
    make(storage, tmp_path)
    folders = FrameFolders(storage)
    folders.delete_frame(FOLDER, "frame_000001.png")
    assert names(folders) == ["frame_000000.png", "frame_000002.png", "frame_000003.png"]
    with pytest.raises(NotFound, match=f"^Frame 'frame_000001.png' not found in folder '{FOLDER}'$"):
        folders.delete_frame(FOLDER, "frame_000001.png")
    with pytest.raises(NotFound, match=r"^Folder 'none' not found$"):
        folders.delete_frame("none", "frame_000000.png")
    for name in names(folders):
        folders.delete_frame(FOLDER, name)
    assert (folders.names(), names(folders)) == ([FOLDER], [])


def test_folders_made_by_hand_are_folders(storage: Storage) -> None:
    """Images that somebody put into the store are listed in natural order; other files are no frames."""
    images = ["frame2.png", "Frame10.PNG", "frame1.jpg", "frame 1.jpeg", "b.webp", "a.bmp", "frame02.png"]
    for name in [*images, "notes.txt", "frame3.gif", "frame4.png.part", "50%.png"]:
        storage.put_bytes(folder_key("my frames") / name, b"")
    storage.put_bytes(folder_key("my frames") / "inner" / "frame5.png", b"")
    storage.put_bytes(folder_key("100%") / "frame.png", b"")
    storage.put_bytes(Key("postprocessed_output/frames/extracted_frames/frame.png"), b"")
    folders = FrameFolders(storage)
    assert folders.names() == ["my frames"]
    ordered = ["50%.png", "a.bmp", "b.webp", "frame1.jpg", "frame02.png", "frame2.png", "Frame10.PNG", "frame 1.jpeg"]
    assert names(folders, "my frames") == ordered
    assert folders.record("my frames") is None
    for name in ("notes.txt", "frame3.gif", "inner"):
        with pytest.raises(NotFound, match=r"^Frame '.*' not found in folder 'my frames'$"):
            folders.frame("my frames", name)
    folders.delete("my frames")
    assert folders.names() == []


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../state", "a\\b", "x\0y", "\uff2f\uff2b"])
def test_folders_with_invalid_names_are_hidden(storage: Storage, tmp_path: Path, name: str) -> None:
    """Nothing outside is read or deleted, whatever the name; it is not found."""
    make(storage, tmp_path)
    before = objects(storage)
    folders = FrameFolders(storage)
    for look in (folders.frames, folders.delete, lambda folder: folders.delete_frame(folder, "frame_000000.png")):
        with pytest.raises(NotFound):
            look(name)
    with pytest.raises(NotFound):
        folders.delete_frame(FOLDER, name)
    assert objects(storage) == before


def test_the_record_maps_frames_to_source_frames() -> None:
    """A frame's name tells which frame of the video it shows, also when others are gone; other names tell nothing."""
    numbers = {"frame_000000.png": 0, "frame_000003.png": 9, "FRAME_000002.PNG": 6, "frame_000004.png": None}
    numbers |= {"frame_2.png": None, "other.png": None, "frame_000001.webp": 3}
    assert {name: RECORD.source_index(name) for name in numbers} == numbers


@pytest.mark.parametrize(
    "change",
    [
        {"fps": "1/0"},
        {"fps": "0"},
        {"fps": "-25"},
        {"fps": "1e999999999"},
        {"fps": 25},
        {"pixel_aspect": "0/1"},
        {"sound_delay": "1/0"},
        {"extraction_rate": 0},
        {"colors": [1]},
        {"colors": [1, -5, 1]},
        {"colors": [1, 1, 2**70]},
        {"width": "2"},
    ],
)
def test_a_damaged_record_is_none(storage: Storage, tmp_path: Path, change: dict[str, Any]) -> None:
    """A folder whose record was spoilt is a folder made by hand; its frames are all there."""
    make(storage, tmp_path)
    record = Key(f"state/frame_folders/{FOLDER}.json")
    text = str({**RECORD.model_dump(mode="json"), **change}).replace("'", '"').replace("None", "null")
    storage.put_bytes(record, text.encode())
    folders = FrameFolders(storage)
    assert folders.record(FOLDER) is None
    assert len(names(folders)) == 4


def test_names_sort_in_natural_order() -> None:
    """Numbers count by their value, letters without regard to case, and no two names are equal."""
    ordered = ["01.png", "1.png", "2.jpg", "2.png", "10.png", "a.png", "A2.png", "a10.png", "b1c2.png", "b1c10.png"]
    assert sorted(set(ordered), key=natural) == ordered


# Crashes


@dataclass
class Dying:
    """A store of a process that is killed after some of its changes: nothing more gets through."""

    storage: Storage
    changes: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    def put_bytes(self, key: Key, data: bytes, **options: Any) -> StoredObject:
        """Store bytes."""
        self._count()
        return self.storage.put_bytes(key, data, **options)

    def put_file(self, key: Key, path: Path, **options: Any) -> StoredObject:
        """Store a file."""
        self._count()
        return self.storage.put_file(key, path, **options)

    def delete(self, key: Key) -> bool:
        """Remove an object."""
        self._count()
        return self.storage.delete(key)

    def _count(self) -> None:
        self.changes -= 1
        if self.changes < 0:
            raise StorageFailed("The process is dead.")


def killed(storage: Storage, changes: int, work: Callable[[Storage], object]) -> bool:
    """Do some work in a process that is killed after so many changes; return whether it was."""
    try:
        work(cast("Storage", Dying(storage, changes)))
    except StorageFailed:
        return True
    return False


def test_an_extraction_killed_at_any_step_stays_hidden(storage: Storage, tmp_path: Path) -> None:
    """After each of its changes: no folder is seen, and a sweep leaves an empty store."""
    changes = 0
    while killed(storage, changes, lambda dying: make(dying, tmp_path)):
        assert FrameFolders(storage).names() == []
        with pytest.raises(NotFound):
            FrameFolders(storage).frames(FOLDER)
        files = max(0, min(changes - 1, 6))
        assert remove_unfinished_folders(storage, 0) == RemovedFiles(files, 5 * files)
        assert objects(storage) == []
        changes += 1
    assert changes == 9  # mark, audio, four frames, sheet, record, mark again
    assert len(names(FrameFolders(storage))) == 4


def test_a_deletion_killed_at_any_step_is_all_or_nothing(storage: Storage, tmp_path: Path) -> None:
    """After each of its changes the folder is either whole or gone, and a sweep finishes what was begun."""
    changes = 0
    make(storage, tmp_path)
    while killed(storage, changes, lambda dying: FrameFolders(dying).delete(FOLDER)):
        folders = FrameFolders(storage)
        if folders.names():
            assert len(names(folders)) == 4
            assert changes == 0
        remove_unfinished_folders(storage, 0)
        assert objects(storage) == [] or changes == 0
        make(storage, tmp_path)
        changes += 1
    assert changes >= 9
    assert objects(storage) == []


def test_removing_unfinished_folders_spares_running_extractions(storage: Storage, tmp_path: Path) -> None:
    """A young mark protects its folder, and finished folders are never touched."""
    make(storage, tmp_path, "finished")
    before = objects(storage)
    with new_folder(storage, FOLDER) as writer:
        fill(writer, tmp_path)
        assert remove_unfinished_folders(storage, 600) == RemovedFiles()
        writer.finish(RECORD)
    assert remove_unfinished_folders(storage, 0) == RemovedFiles()
    assert len(names(FrameFolders(storage))) == 4
    FrameFolders(storage).delete(FOLDER)
    assert objects(storage) == before


def test_an_extraction_whose_folder_was_removed_cannot_finish(storage: Storage, tmp_path: Path) -> None:
    """An extraction that slept so long that it was taken for dead fails, and leaves nothing."""
    with new_folder(storage, FOLDER) as writer:
        fill(writer, tmp_path)
        assert remove_unfinished_folders(storage, 0) == RemovedFiles(6, 30)
        writer.put_frame(4, b"late")
        with pytest.raises(Conflict, match="cleared away"):
            writer.finish(RECORD)
    assert objects(storage) == []


def test_a_running_extraction_refreshes_its_marker(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that goes on moves the time of its mark forward; one that was removed meanwhile stops."""
    with new_folder(storage, FOLDER) as writer:
        mark = next(stored.key for stored in storage.list(Key("state/unfinished_folders")))
        content = storage.read(mark)
        storage.delete(mark)
        writer.keep_alive()  # not due yet
        assert storage.stat(mark) is None
        storage.put_bytes(mark, content)
        monkeypatch.setattr(unfinished, "_REFRESH_SECONDS", -1.0)
        began = datetime.now(UTC)
        writer.keep_alive()
        refreshed = storage.stat(mark)
        assert refreshed is not None
        assert (began - refreshed.modified).total_seconds() < 1.1  # some stores know whole seconds only
        remove_unfinished_folders(storage, 0)
        with pytest.raises(Conflict, match="cleared away"):
            writer.keep_alive()
    assert objects(storage) == []


def test_contact_sheet_and_audio_have_their_documented_keys() -> None:
    """The sheet is an output; the audio is not, and neither is among the frames."""
    assert str(sheet_key(FOLDER)) == f"postprocessed_output/frames/contact_sheets/{FOLDER}.jpg"
    assert str(audio_key(FOLDER)) == f"state/frame_sounds/{FOLDER}.mka"


def test_records_keep_the_field_names_of_older_versions() -> None:
    """A record of an older version is read, and a new one is written with the same names."""
    stored = {**RECORD.model_dump(mode="json", by_alias=True), "sound_delay": "1/3"}

    record = FolderRecord.model_validate(stored)

    assert record.audio_delay == "1/3"
    assert record.model_dump(mode="json", by_alias=True) == stored


def test_thousands_of_frames_are_listed_in_pages(server: S3Server, bucket: str, open_s3: OpenS3) -> None:
    """3,000 frames take three pages, of which one at a time is in memory."""
    storage = open_s3(tuning=S3Tuning(page_size=1000))
    prefix = f"worker/one/{folder_key('many')}"

    def put(index: int) -> None:
        server.client.put_object(Bucket=bucket, Key=f"{prefix}/frame_{index:06}.png", Body=b"")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(3000)))
    requests = count_listings(storage)
    frames = FrameFolders(storage).frames("many")
    assert [stored.key.name for stored in frames] == [f"frame_{index:06}.png" for index in range(3000)]
    assert len(requests) == 3

    def peak(pages: int) -> int:
        tracemalloc.start()
        listing = storage.list(folder_key("many"))
        for _ in zip(range(1000 * pages - 1), listing, strict=False):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(3) < 1.5 * peak(1)


def count_listings(storage: S3Storage) -> list[object]:
    """A list that gets longer with each listing asked of the store."""
    requests: list[object] = []
    storage._requests.client.meta.events.register(
        "before-call.s3.ListObjectsV2", lambda **event: requests.append(event["model"])
    )
    return requests
