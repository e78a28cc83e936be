"""A worker with cheap networks, and how the table calls its operations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from safetensors.torch import save_file

from framepack.answer import Answer as Result
from framepack.models.library import ModelLibrary
from framepack.models.spec import ModelRow
from framepack.models.weights.catalog import Catalog
from framepack.models.weights.store import WeightsStore
from framepack.storage.frames.folders import folder_key
from tests.corpus.found import (
    Found,
    differences,
    differences_of_gif,
    differences_of_images,
    differences_of_sentences,
)
from tests.corpus.operations import Operation, frames_per_second
from tests.corpus.row import Row
from tests.support.http_server import Answer, HttpServer
from tests.support.interpolation import mixing
from tests.support.networks import tiny_compact
from tests.support.runs import Bench, bench
from tests.support.weights import checkpoint, fetch_never, published

_PRESET: dict[str, Any] = {"name": "corpus", "preset_data": {"active_steps": ["Filters"], "params": {"sharpen": 0.1}}}


def corpus_bench(folder: Path, **settings: Any) -> Bench:
    """A worker with an upscaler that repeats pixels, and an interpolator that mixes neighbors half and half."""
    weights = folder / "weights"
    weights.mkdir(parents=True)
    state = tiny_compact(scale=2)
    last = max(int(name.split(".")[1]) for name in state)
    for part in ("weight", "bias"):
        state[f"body.{last}.{part}"].zero_()
    save_file(state, weights / "nearest.safetensors")
    content = checkpoint({f"module.{key}": value for key, value in mixing().items()}, key=None)
    (weights / "flownet.pkl").write_bytes(content)
    row = ModelRow("RIFE_test", "interpolator", "IFNet", 1, (published(content, "flownet.pkl"),), 25, "Test")
    catalog = Catalog((row,))
    made = bench(
        folder, allowed_hosts=("127.0.0.1",), video_preset="ultrafast", video_crf=6, device="cpu", **settings
    )
    store = WeightsStore(weights, allow_download=False, download=fetch_never, catalog=catalog)
    made.runtime.models = ModelLibrary(catalog, store, device="cpu")
    return made


@dataclass
class Corpus:
    """The files of the corpus, each made when it is needed first, and the worker that they are tried on."""

    folder: Path
    worker: Bench
    server: HttpServer

    @classmethod
    def in_folder(cls, folder: Path, server: HttpServer) -> Self:
        """A new one."""
        corpus = cls(folder, corpus_bench(folder / "worker"), server)
        answer = corpus.worker.run("save_workflow_preset", **_PRESET)
        assert "error" not in answer, answer
        return corpus

    def file(self, row: Row) -> Path:
        """The file of a row."""
        folder = self.folder / "files" / row.name
        if not folder.exists():
            folder.mkdir(parents=True)
            path = row.make(folder)
            (folder / "made").write_text(path.name, encoding="utf-8")
        return folder / (folder / "made").read_text(encoding="utf-8")

    def run(self, row: Row, operation: Operation) -> Result:
        """Run an operation on the file of a row."""
        path = self.file(row)
        if operation.endpoint == "join":
            return self.worker.run("join", video_urls=[self._served(row, path)] * 2)
        if operation.endpoint == "reassemble_frames":
            return self._reassembled(row, operation)
        if operation.endpoint == "batch":
            answer = self.worker.run("batch", videos=[{"video_url": self._served(row, path)}], **operation.fields)
            return answer if "error" in answer else answer["results"][0]
        if row.by_url:
            return self.worker.run(operation.endpoint, video_url=self._served(row, path), **operation.fields)
        return self.worker.run(operation.endpoint, path, **operation.fields)

    def faults(self, row: Row, operation: Operation) -> list[str]:
        """What an operation makes of a row other than it must; one sentence each."""
        answer = self.run(row, operation)
        refusal = row.refused_in.get(operation.name, row.refused)
        if refusal is not None:
            return self._faults_of_refusal(refusal, operation, answer)
        if "error" in answer:
            return [f"refused: {answer['error']}"]
        wanted = operation.expected(row)
        found = list(differences_of_sentences(answer.get("warnings") or (), wanted.warnings))
        if operation.reads == "analysis":
            found += self._faults_of_analysis(row, answer["analysis"])
        elif operation.reads == "file":
            saved = self.worker.folder / answer["saved_path"].removeprefix("/")
            found += [] if saved.read_bytes() == self.file(row).read_bytes() else ["bytes: changed"]
        elif operation.reads == "gif":
            found += differences_of_gif(Found.gif(self.worker.output(answer)), wanted, row.tolerance)
        elif operation.reads == "images":
            folder = self.worker.folder / "outputs" / str(folder_key(answer["folder_name"]))
            found += differences_of_images(Found.images(folder), wanted, row.tolerance)
        else:
            found += differences(Found.video(self.worker.output(answer)), wanted, row.tolerance)
        return found + ([f"left behind: {left}"] if (left := self.worker.leftovers()) else [])

    def _served(self, row: Row, path: Path) -> str:
        self.server.answers = {"/clip": Answer(body=path.read_bytes())}
        return f"{self.server.url}/clip"

    def _reassembled(self, row: Row, operation: Operation) -> Result:
        folder = self.worker.run("extract_frames", self.file(row))
        if "error" in folder:
            return folder
        fps = frames_per_second(row)
        fields = {"folder_name": folder["folder_name"], "output_fps": fps, **operation.fields}
        fields["with_audio"] = row.beeps is not None
        return self.worker.run("reassemble_frames", **fields)

    @staticmethod
    def _faults_of_refusal(refusal: str, operation: Operation, answer: Result) -> list[str]:
        sentence = answer.get("error", "")
        prefix = "video_urls[0]: " if operation.endpoint == "join" else ""
        if sentence != f"{prefix}{refusal}" or not answer.get("code"):
            return [f"not refused as it should be: {sentence or answer}"]
        return []

    @staticmethod
    def _faults_of_analysis(row: Row, analysis: dict[str, Any]) -> list[str]:
        wanted = {
            "fps": round(float(row.fps), 3),
            "total_frames": len(row.shown),
            "duration": f"{float(row.seconds):.1f} seconds",
            "resolution": f"{row.size[0]}x{row.size[1]}",
            "has_audio": row.beeps is not None,
        }
        return [f"{name}: {analysis[name]}, not {value}" for name, value in wanted.items() if analysis[name] != value]
