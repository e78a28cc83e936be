"""Frame folders against a simple model: whatever is done in whatever order, both stores hold what the model holds."""

from __future__ import annotations

import base64
import io
from pathlib import Path, PurePath
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from PIL import Image

from framepack.files.removed import RemovedFiles
from framepack.storage.frames.folders import folder_key, natural, remove_unfinished_folders
from framepack.storage.frames.record import FolderRecord, frame_name
from framepack.storage.frames.writer import new_folder
from framepack.storage.outputs import ResultFolder
from tests.operations.conftest import StoreSettings
from tests.support.runs import Bench, bench

FOLDERS = st.sampled_from(["a", "a_extracted_every_1_241204_143522", "A folder", "größe", "b.c"])
HAND_MADE = st.sampled_from(["frame2.png", "frame10.jpg", "1.WEBP", "frame_000001.png", "naïve [1].bmp"])
CONTENT = st.binary(min_size=1, max_size=20)


def _image(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), (200, 30, 30)).save(file, kind)
    return file.getvalue()


IMAGES = {".png": _image("PNG"), ".jpg": _image("JPEG"), ".bmp": _image("BMP"), ".webp": _image("WEBP")}


class Frames(RuleBasedStateMachine):
    """The operations beside a model: folder -> frame -> bytes, the extracted folders, and the saved images."""

    frames: Bundle[tuple[str, str]] = Bundle("frames")

    def __init__(self, worker: Bench) -> None:
        super().__init__()
        self.worker = worker
        self.storage = worker.runtime.storage
        self.model: dict[str, dict[str, bytes]] = {}
        self.extracted: set[str] = set()
        self.saved: list[bytes] = []

    @rule(target=frames, folder=FOLDERS, images=st.lists(CONTENT, max_size=4), fails=st.booleans())
    def extract(self, folder: str, images: list[bytes], *, fails: bool) -> Any:
        """Fill a new folder; one that fails midway is as if it had never been."""
        if folder in self.model:
            return multiple()
        with new_folder(self.storage, folder) as writer:
            for position, data in enumerate(images):
                writer.put_frame(position, data)
            writer.put_sheet(b"sheet")
            if fails:
                return multiple()
            writer.finish(
                FolderRecord(
                    source_name="clip",
                    fps="25",
                    extraction_rate=2,
                    frame_count=len(images),
                    width=1,
                    height=1,
                    colors=[1, 1, 1],
                )
            )
        self.model[folder] = {frame_name(position): data for position, data in enumerate(images)}
        self.extracted.add(folder)
        return multiple(*((folder, name) for name in self.model[folder]))

    @rule(target=frames, folder=FOLDERS, name=HAND_MADE, data=CONTENT)
    def put(self, folder: str, name: str, data: bytes) -> tuple[str, str]:
        """A user puts an image into the store."""
        self.storage.put_bytes(folder_key(folder) / name, data)
        self.model.setdefault(folder, {})[name] = data
        return folder, name

    @rule(frame=frames)
    def delete_frame(self, frame: tuple[str, str]) -> None:
        """Delete a frame that is there, or was."""
        folder, name = frame
        answer = self.worker.run("delete_frame", folder=folder, frame=name)
        if self.expect(answer, folder, name):
            del self.model[folder][name]
            if not self.model[folder] and folder not in self.extracted:
                del self.model[folder]

    @rule(target=frames, folder=FOLDERS, name=HAND_MADE)
    def put_frame(self, folder: str, name: str) -> Any:
        """Replace a frame, or add one to a folder that is there."""
        data = IMAGES[PurePath(name).suffix.lower()]
        text = base64.b64encode(data).decode()
        answer = self.worker.run("put_frame", folder=folder, frame=name, image_base64=text)
        if folder not in self.model:
            assert answer["code"] == "not_found"
            return multiple()
        assert ("replaced" in answer["message"]) == (name in self.model[folder])
        self.model[folder][name] = data
        return folder, name

    @rule(frame=frames)
    def get(self, frame: tuple[str, str]) -> None:
        """Get a frame that is there, or was."""
        folder, name = frame
        answer = self.worker.run("get_frame", folder=folder, frame=name)
        if self.expect(answer, folder, name):
            assert base64.b64decode(answer["base64"]) == self.model[folder][name]

    @rule(frame=frames)
    def save(self, frame: tuple[str, str]) -> None:
        """Save a frame that is there, or was."""
        folder, name = frame
        answer = self.worker.run("save_frame", folder=folder, frame=name)
        if self.expect(answer, folder, name):
            self.saved.append(self.model[folder][name])

    @rule(folder=FOLDERS)
    def delete_folder(self, folder: str) -> None:
        """Delete a folder, there or not."""
        answer = self.worker.run("delete_frame_folder", folder=folder)
        assert ("success" in answer) == (folder in self.model)
        assert answer.get("status", 404) == 404
        self.model.pop(folder, None)
        self.extracted.discard(folder)

    @rule()
    def clean(self) -> None:
        """A sweep finds nothing to do."""
        assert remove_unfinished_folders(self.storage, 0) == RemovedFiles()

    @rule(folder=FOLDERS)
    def list_frames(self, folder: str) -> None:
        """The list is the model's, in natural order, and knows the sources of extracted frames."""
        answer = self.worker.run("list_frames", folder=folder)
        if folder not in self.model:
            assert answer == {"error": f"Folder '{folder}' not found", "code": "not_found", "status": 404}
            return
        names = sorted(self.model[folder], key=natural)
        assert [frame["filename"] for frame in answer["frames"]] == names
        assert [frame["index"] for frame in answer["frames"]] == list(range(len(names)))
        assert answer["total_count"] == len(names)
        assert ("source" in answer) == (folder in self.extracted)

    @invariant()
    def folders_agree(self) -> None:
        """The folders are the model's, and the store holds no more than belongs to them."""
        assert self.worker.run("list_frame_folders")["folders"] == sorted(self.model)
        keys = [str(found.key) for found in self.storage.list()]
        for place, count in (
            (f"{ResultFolder.EXTRACTED_FRAMES}/", sum(map(len, self.model.values()))),
            (f"{ResultFolder.CONTACT_SHEETS}/", len(self.extracted)),
            ("state/frame_folders/", len(self.extracted)),
            ("state/unfinished_folders/", 0),
            (f"{ResultFolder.SAVED_VIDEOS}/", len(self.saved)),
        ):
            assert sum(key.startswith(place) for key in keys) == count, place

    def teardown(self) -> None:
        """What was saved is still there, however often its frame was deleted since."""
        saved = [self.storage.read(found.key) for found in self.storage.list(ResultFolder.SAVED_VIDEOS.key)]
        assert sorted(saved) == sorted(self.saved)

    def expect(self, answer: dict[str, Any], folder: str, name: str) -> bool:
        """Check an answer about one frame; return whether the model has it."""
        if name in self.model.get(folder, {}):
            assert answer.get("success") is True, answer
            return True
        missing = f"Frame '{name}' not found in folder '{folder}'" if folder in self.model else None
        assert answer["error"] == (missing or f"Folder '{folder}' not found")
        assert answer["status"] == 404
        return False


def test_folders_are_what_the_model_says(new_store: StoreSettings, tmp_path: Path) -> None:
    """Extractions, uploads by hand, deletions and savings in any order."""
    is_bucket = str(new_store()["storage"]).startswith("s3:")

    class OnNewStore(Frames):
        def __init__(self) -> None:
            super().__init__(bench(tmp_path, **new_store()))

    run_state_machine_as_test(
        OnNewStore,
        settings=settings(
            max_examples=8 if is_bucket else 20,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
