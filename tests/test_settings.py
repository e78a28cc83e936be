"""Settings: each wrong one is reported at start in one line, whichever way a process is started."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from framepack.environment import data_folder
from framepack.errors import InvalidSettings
from framepack.runtime import Runtime
from framepack.settings import GROUPS, Settings, load_settings, unknown_variables
from tests.support.control_plane import ROOT

WRONG = {
    "FRAMEPACK_DEVICE": ("gpu", "must be auto, cpu, cuda or cuda:N, not 'gpu'."),
    "FRAMEPACK_STORAGE": ("s3:/bucket", "must be file:FOLDER or s3://BUCKET/PREFIX, not 's3:/bucket'."),
    "FRAMEPACK_INLINE_LIMIT_MB": ("5MB", "must be a number from 0 to 10000, not '5MB'."),
    "FRAMEPACK_ALLOWED_HOSTS": (
        "minio,10.0.0.0/99",
        (
            "must be host names, IP addresses or networks such as 10.0.0.0/8, without port, separated by commas, "
            "not '10.0.0.0/99'."
        ),
    ),
    "FRAMEPACK_WEBHOOK_SECRET": ("whsec_@@@", "must be whsec_ followed by base64, or any other text."),
    "FRAMEPACK_PUBLIC_URL": (
        "not-a-url",
        (
            "must be an http or https address without user name, query or fragment, such as "
            "https://video.example.com, not 'not-a-url'."
        ),
    ),
    "BUCKET_ENDPOINT_URL": (
        "https://id:password@s3.example.com",
        "must be an http or https address without user name, query or fragment, such as https://video.example.com.",
    ),
    "FRAMEPACK_GENERATOR": ("transformer", "must be of the form package.module:factory, not 'transformer'."),
    "FRAMEPACK_ENHANCER_MODEL": (
        "ibm-granite/other",
        (
            "must be ibm-granite/granite-3.3-2b-instruct, another model as organization/name@COMMIT (40 hex digits), "
            "or a folder, not 'ibm-granite/other'."
        ),
    ),
    "FRAMEPACK_LINK_SECRET": ("short", "must have at least 16 characters."),
    "FRAMEPACK_API_KEYS": (" , ", "must be one or more values separated by commas."),
    "FRAMEPACK_JOB_RETENTION_HOURS": ("1e9", "must be a number above 0 and up to 87600, not '1e9'."),
    "FRAMEPACK_CLAIM_LIFETIME_SECONDS": ("1e300", "must be a number from 120 to 315360000, not '1e300'."),
    "FRAMEPACK_DOWNLOAD_TIMEOUT_SECONDS": ("1e20", "must be a number above 0 and up to 86400, not '1e20'."),
    "FRAMEPACK_ENCODER": ("h264_nvenc", "must be auto, x264 or nvenc, not 'h264_nvenc'."),
    "FRAMEPACK_VIDEO_PRESET": (
        "placebo",
        "must be ultrafast, superfast, veryfast, faster, fast, medium or slow, not 'placebo'.",
    ),
    "FRAMEPACK_HTTPS_ONLY": ("maybe", "must be true or false, not 'maybe'."),
    "FRAMEPACK_MAX_FRAMES": ("0", "must be a whole number above 0 and up to 1000000000, not '0'."),
    "FRAMEPACK_MAX_SECONDS": ("nan", "must be a number above 0 and up to 1000000, not 'nan'."),
    "FRAMEPACK_MEMORY_LIMIT_MB": ("63", "must be a whole number from 64 to 1000000, not '63'."),
    "FRAMEPACK_VIDEO_CRF": ("41", "must be a whole number from 0 to 40, not '41'."),
}
ENTRIES = {
    "handler": ["handler.py"],
    "handler --test_input": ["handler.py", "--test_input", '{"input": {"endpoint": "list_models"}}'],
    "handler --rp_serve_api": ["handler.py", "--rp_serve_api"],
    "serve": ["-m", "framepack", "serve"],
    "weights": ["-m", "framepack", "weights", "list"],
    "run": ["-m", "framepack", "run", "upscale", "test_input.json", "-o", "out.mp4"],
    "worker process": ["-m", "framepack.jobs.backends.worker_process"],
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set but what a test sets."""
    for name in os.environ:
        if name.startswith(("FRAMEPACK_", "BUCKET_", "RUNPOD_")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", WRONG)
def test_an_invalid_setting_is_one_line_with_its_name_and_what_is_allowed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with a value, the line says which variable and what it may be; secrets are not shown."""
    value, line = WRONG[name]
    monkeypatch.setenv(name, value)

    with pytest.raises(InvalidSettings) as caught:
        load_settings()

    assert caught.value.message == f"{name} {line}"


def test_several_wrong_settings_are_all_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to start the worker once for each mistake."""
    for name, (value, _) in WRONG.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BUCKET_ACCESS_KEY_ID", "id")

    with pytest.raises(InvalidSettings) as caught:
        load_settings()

    assert set(caught.value.problems) == {
        *(f"{name} {line}" for name, (_, line) in WRONG.items()),
        "BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY must be set together.",
    }


def test_an_api_key_that_headers_cannot_carry_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients would send its characters in different ways."""
    monkeypatch.setenv("FRAMEPACK_API_KEYS", "canary,schl\u00fcssel")

    with pytest.raises(InvalidSettings) as caught:
        load_settings()

    assert caught.value.message == (
        "FRAMEPACK_API_KEYS must be values of printable ASCII characters separated by commas."
    )


_NUMBERS = [
    name
    for name, field in Settings.model_fields.items()
    if {int, float} & {field.annotation, *get_args(field.annotation)}
]


@pytest.mark.parametrize("name", _NUMBERS)
def test_every_number_has_a_bound_that_dates_timers_and_sizes_bear(name: str, tmp_path: Path) -> None:
    """At the bound a worker starts, and nothing that is computed from it overflows; above it is refused."""
    bound = next(each.le for each in Settings.model_fields[name].metadata if hasattr(each, "le"))
    settings = Settings(storage=f"file:{tmp_path}", **{name: bound})

    assert Runtime(settings).storage

    value = getattr(settings, name)
    assert math.isfinite(value)
    assert round(value * 1e9) < 2**63
    if name.endswith(("_seconds", "_hours")):
        span = timedelta(hours=value) if name.endswith("_hours") else timedelta(seconds=value)
        assert datetime.now(UTC) - span < datetime.now(UTC) + span
        assert span.total_seconds() < threading.TIMEOUT_MAX
    with pytest.raises(ValidationError):
        Settings(**{name: bound + 1})


@pytest.mark.parametrize("given", ["BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY"])
def test_one_s3_key_without_the_other_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are named, and what was given is not shown."""
    monkeypatch.setenv(given, "canary")

    with pytest.raises(InvalidSettings) as caught:
        load_settings()

    assert caught.value.message == "BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY must be set together."


@pytest.mark.parametrize("given", ["RUNPOD_API_KEY", "FRAMEPACK_RUNPOD_ENDPOINT_ID"])
def test_the_runpod_backend_needs_an_endpoint_id_and_an_api_key(given: str) -> None:
    """The server refuses to start; a worker with the same settings does not need them."""
    environment = {**os.environ, "FRAMEPACK_BACKEND": "runpod", "FRAMEPACK_LOG_FORMAT": "text", given: "canary"}
    command = [sys.executable, "-m", "framepack", "serve", "--port", "0"]

    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False)

    assert ended.returncode == 2
    assert ended.stderr.decode().splitlines()[-1] == (
        "framepack: FRAMEPACK_RUNPOD_ENDPOINT_ID and RUNPOD_API_KEY must be set when FRAMEPACK_BACKEND is runpod."
    )
    assert b"canary" not in ended.stderr


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_point_exits_2_on_invalid_settings(entry: str, tmp_path: Path) -> None:
    """One line per wrong variable on stderr, no traceback, exit status 2."""
    wrong = ("FRAMEPACK_DEVICE", "FRAMEPACK_WEBHOOK_SECRET")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **{name: WRONG[name][0] for name in wrong}}

    ended = subprocess.run(
        [sys.executable, *ENTRIES[entry]], cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False
    )

    assert ended.returncode == 2
    lines = [line.removeprefix("framepack: ") for line in ended.stderr.decode().splitlines()]
    assert sorted(lines) == sorted(f"{name} {WRONG[name][1]}" for name in wrong)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("FRAMEPACK_STORAG", "FRAMEPACK_STORAG is not a setting and is ignored; did you mean FRAMEPACK_STORAGE?"),
        ("FRAMEPACK_API_KEY", "FRAMEPACK_API_KEY is not a setting and is ignored; did you mean FRAMEPACK_API_KEYS?"),
        (
            "FRAMEPACK_ENDPOINT_URL",
            "FRAMEPACK_ENDPOINT_URL is not a setting and is ignored; did you mean BUCKET_ENDPOINT_URL?",
        ),
        ("FRAMEPACK_XYZ", "FRAMEPACK_XYZ is not a setting and is ignored."),
    ],
)
def test_an_unknown_variable_is_reported_with_a_suggestion(
    name: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that looks like one of ours gets a sentence with the nearest one; it never stops anything."""
    monkeypatch.setenv(name, "value")

    assert load_settings()
    assert unknown_variables() == [sentence]


def test_known_variables_are_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings in small letters and the variable of the tests are known."""
    for name in ("framepack_device", "FRAMEPACK_LOG_LEVEL", "FRAMEPACK_TEST_FILES"):
        monkeypatch.setenv(name, "")

    assert unknown_variables() == []


def test_blank_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form that sends every field, filled in or not, changes nothing."""
    defaults = load_settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(f"FRAMEPACK_{name.upper()}", "")
    for name in ("BUCKET_ENDPOINT_URL", "BUCKET_ACCESS_KEY_ID", "RUNPOD_API_KEY", "FRAMEPACK_DEVICE"):
        monkeypatch.setenv(name, "  ")

    assert load_settings() == defaults


def test_a_checkout_keeps_its_files_at_its_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder has no part in it."""
    monkeypatch.chdir(tmp_path)

    settings = load_settings()

    assert (settings.storage, settings.weights_dir) == (f"file:{ROOT / 'outputs'}", ROOT / "weights")


def test_an_installed_command_uses_the_users_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a checkout around it, the package keeps its files where the system wants a user's data."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("framepack.environment.__file__", str(tmp_path / "site-packages/framepack/environment.py"))

    assert data_folder("weights") == tmp_path / "framepack" / "weights"


def test_relative_paths_are_resolved_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store and a folder mean the same for as long as the process lives."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FRAMEPACK_STORAGE", "file:made/here")
    monkeypatch.setenv("FRAMEPACK_WEIGHTS_DIR", "models")
    monkeypatch.setenv("FRAMEPACK_TEMP_DIR", "~/temp")

    settings = load_settings()

    assert settings.storage == f"file:{tmp_path / 'made' / 'here'}"
    assert (settings.weights_dir, settings.temp_dir) == (tmp_path / "models", tmp_path / "home" / "temp")


def test_every_setting_belongs_to_one_topic_and_is_described() -> None:
    """The table of the documentation leaves none out and says each once."""
    names = [name for group in GROUPS for name in group.model_fields]

    assert sorted(names) == sorted(Settings.model_fields)
    assert all(field.description for field in Settings.model_fields.values())
