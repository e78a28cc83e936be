"""The doctor, on a laptop with nothing set, on a deployment where everything is wrong, and on a good one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from framepack.doctor import Finding, examine
from framepack.media.codecs import read_codecs
from framepack.settings import Settings
from tests.support.control_plane import ROOT
from tests.support.s3_server import s3_server

SECRET = "canary-1234567890"
NAMES = {
    "settings",
    "versions",
    "device",
    "codecs",
    "encoder",
    "callbacks",
    "REST",
    "store",
    "links",
    "working folder",
    "upscaler weights",
    "interpolator weights",
    "face weights",
    "enhancer model",
    "captioner model",
}


def found(folder: Path, **settings: Any) -> dict[str, Finding]:
    """What the doctor finds, by name."""
    chosen = {"storage": f"file:{folder / 'outputs'}", "temp_dir": folder / "temp", "device": "cpu", **settings}
    return {each.name: each for each in examine(Settings(**chosen))}


def test_a_machine_with_empty_folders_has_no_errors(tmp_path: Path) -> None:
    """All checks run, and none reports an error."""
    code = (
        "from framepack.doctor import examine\nfrom framepack.settings import Settings\n"
        "for each in examine(Settings()): print(each.name, each.state, sep='=')\n"
    )
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("FRAMEPACK_", "BUCKET_", "RUNPOD_"))
    }
    folders = {"STORAGE": f"file:{tmp_path}/outputs", "TEMP_DIR": f"{tmp_path}/temp", "WEIGHTS_DIR": f"{tmp_path}/w"}
    environment = {
        **kept,
        "CUDA_VISIBLE_DEVICES": "",
        **{f"FRAMEPACK_{name}": each for name, each in folders.items()},
    }
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )

    states = dict(line.split("=") for line in result.stdout.splitlines())
    assert states.keys() == NAMES
    assert set(states.values()) == {"ok"}


def test_every_problem_of_a_deployment_is_reported_with_a_remedy(tmp_path: Path) -> None:
    """No check raises, no problem hides another, and no secret is shown."""
    (tmp_path / "file").write_text("")
    findings = found(
        tmp_path,
        storage=f"file:{tmp_path}/file/outputs",
        temp_dir=tmp_path / "file" / "temp",
        weights_dir=tmp_path / "file" / "weights",
        weights_download=False,
        device="cuda:97",
        generator="no_such_module:make",
        enhancer_model="/no/such",
        webhook_secret=SECRET,
        api_keys=(SECRET,),
    )

    wrong = {"store", "working folder", "device", "main model", "enhancer model"}
    assert {each.name for each in findings.values() if each.state == "error"} >= wrong
    assert all(findings[name].remedy for name in wrong)
    assert not any(SECRET in str(each) for each in findings.values())
    assert "FRAMEPACK_WEBHOOK_SECRET=(set)" in findings["settings"].sentence
    assert "FRAMEPACK_API_KEYS=(set)" in findings["settings"].sentence
    assert "FRAMEPACK_DEVICE=cuda:97" in findings["settings"].sentence


def test_a_mistyped_setting_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a variable has no effect."""
    monkeypatch.setenv("FRAMEPACK_STORAG", "s3://bucket")
    settings = Settings(storage=f"file:{tmp_path}/outputs", temp_dir=tmp_path, device="cpu")

    [warning] = [each for each in examine(settings) if each.state == "warning"]

    assert warning.sentence == "FRAMEPACK_STORAG is not a setting and is ignored; did you mean FRAMEPACK_STORAGE?"


def test_a_working_deployment_has_only_ok_findings(tmp_path: Path) -> None:
    """It has a bucket with working links, API keys and a webhook secret."""
    with s3_server(tmp_path) as server:
        findings = found(
            tmp_path,
            storage=f"s3://{server.make_bucket()}/x",
            bucket_endpoint_url=server.endpoint_url,
            bucket_access_key_id=server.access_key,
            bucket_secret_access_key=server.secret_key,
            webhook_secret="whsec_" + "QUJD" * 8,
            api_keys=("one", "two"),
            weights_dir=tmp_path / "weights",
        )

    assert {each.state for each in findings.values()} == {"ok"}
    assert "presigned link" in findings["links"].sentence
    assert server.secret_key not in "".join(map(str, findings.values()))


def test_an_exception_in_a_check_becomes_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other checks still run."""

    def fail() -> None:
        raise ImportError("libavcodec.so: cannot open shared object file")

    monkeypatch.setattr("framepack.media.codecs.read_codecs", fail)

    findings = found(tmp_path)

    assert findings["codecs"].state == "error"
    assert "ImportError: libavcodec.so: cannot open" in findings["codecs"].sentence
    assert findings["store"].state == "ok"


def test_the_locked_ffmpeg_has_every_codec() -> None:
    """These are the formats of outputs and sources."""
    codecs = read_codecs()

    assert codecs.missing == ()
    assert {"encoder libx264", "encoder libopus", "decoder av1"} <= set(codecs.available)


def test_a_missing_codec_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such an FFmpeg was built without x264."""
    monkeypatch.setattr("framepack.media.codecs._ENCODERS", ("libx264", "libx264-of-nobody"))

    finding = found(tmp_path)["codecs"]

    assert finding.state == "error"
    assert "lacks encoder libx264-of-nobody." in finding.sentence


def test_a_store_that_does_not_answer_is_reported_after_the_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts connections but sends nothing. The other checks run, without waiting for it again."""
    monkeypatch.setattr("framepack.doctor.PATIENCE_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        findings = found(
            tmp_path,
            storage="s3://bucket/outputs",
            bucket_endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            bucket_access_key_id="key",
            bucket_secret_access_key="secret",
        )

    assert findings["store"].state == "error"
    assert findings["store"].sentence == "There was no answer within 1 seconds."
    assert findings["links"].sentence == "Links were not tried: the store cannot be used."
    assert findings["working folder"].state == "ok"
