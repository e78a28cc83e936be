"""The check of the working folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from framepack.checks.temp import check_temp
from tests.support.locked_out import mounted
from tests.support.runs import bench


def test_a_working_folder_is_created_and_left_empty(tmp_path: Path) -> None:
    """The finding has its free space."""
    finding = check_temp(bench(tmp_path, max_source_mb=1).runtime.settings)

    assert finding.state == "ok"
    assert f"{tmp_path}/temp can be written and has " in finding.sentence
    assert list((tmp_path / "temp").iterdir()) == []


def test_a_working_folder_below_a_file_is_an_error(tmp_path: Path) -> None:
    """The message has the setting, the folder and the reason."""
    (tmp_path / "file").write_text("")

    finding = check_temp(bench(tmp_path, temp_dir=tmp_path / "file" / "temp").runtime.settings)

    assert finding.state == "error"
    assert f"{tmp_path}/file/temp (FRAMEPACK_TEMP_DIR) cannot be written: {tmp_path}/file is a file" in str(finding)


@pytest.mark.parametrize(("max_source_mb", "state"), [(1.5, "ok"), (2.5, "warning")])
def test_a_disk_too_small_for_a_source_is_a_warning(tmp_path: Path, max_source_mb: float, state: str) -> None:
    """It is not an error because jobs with small sources still run."""
    with mounted(tmp_path / "disk", "size=2m") as disk:
        finding = check_temp(bench(tmp_path, temp_dir=disk, max_source_mb=max_source_mb).runtime.settings)

    assert finding.state == state
