"""``make audit`` is clean only when every package was asked about."""

from __future__ import annotations

from typing import Any

import pytest

from tools.audit import CLEAN, NOT_AUDITED, UNREACHABLE, VULNERABLE, verdict

GOOD = {"name": "numpy", "version": "2.4.6", "vulns": []}
BAD = {
    "name": "pillow",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"], "aliases": []}],
}
UNKNOWN = {"name": "private", "skip_reason": "Dependency not found and could not be audited: private (1.0)"}


@pytest.mark.parametrize(
    ("dependencies", "status", "lines"),
    [
        ([GOOD, GOOD], CLEAN, ["1 packages audited, 0 known vulnerabilities."]),
        (
            [GOOD, BAD, BAD],
            VULNERABLE,
            ["pillow 1.0: PYSEC-1, fixed in 1.1, 2.0", "2 packages audited, 1 known vulnerabilities."],
        ),
        (
            [GOOD, UNKNOWN],
            NOT_AUDITED,
            [
                "1 packages audited, 0 known vulnerabilities.",
                "Not known to the advisory service, so not audited: private.",
            ],
        ),
        ([UNKNOWN], NOT_AUDITED, [UNREACHABLE]),
    ],
    ids=["clean", "vulnerable", "one unknown", "all unknown"],
)
def test_an_audit_lists_vulnerable_and_unaudited_packages(
    dependencies: list[dict[str, Any]], status: int, lines: list[str]
) -> None:
    """Fixed versions are listed, too. Packages that were not audited are no success."""
    assert verdict(dependencies) == (lines, status)
