"""Looks up every locked package in the advisory database; run by ``make audit``.

pip-audit skips packages that the service does not know, and then reports "No known vulnerabilities found". Here a
skipped package counts as not audited, so that an unreachable service is not reported as success.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 2
"""Exit statuses."""

UNREACHABLE = "The advisory service cannot be reached from here, so nothing was audited."
PIP_AUDIT = ["-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--disable-pip", "--require-hashes"]


def main(locks: list[str]) -> int:
    """Audit the lock files and print the findings.

    Returns:
        The exit status.
    """
    dependencies = []
    for lock in locks:
        asked = subprocess.run([sys.executable, *PIP_AUDIT, "-r", lock], check=False, capture_output=True, text=True)
        try:
            dependencies += json.loads(asked.stdout)["dependencies"]
        except ValueError:
            print(asked.stderr.strip().rpartition("\n")[2], UNREACHABLE, sep="\n", file=sys.stderr)
            return NOT_AUDITED
    lines, status = verdict(dependencies)
    print("\n".join(lines))
    return status


def verdict(dependencies: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Evaluate the output of pip-audit.

    Args:
        dependencies: The list ``dependencies`` in its JSON.

    Returns:
        The lines to print, and the exit status.
    """
    audited = [each for each in dependencies if "skip_reason" not in each]
    unknown = sorted({each["name"] for each in dependencies if "skip_reason" in each})
    if not audited:
        return [UNREACHABLE], NOT_AUDITED
    found = {
        f"{each['name']} {each['version']}: {bug['id']}, fixed in {', '.join(bug['fix_versions']) or 'no version'}"
        for each in audited
        for bug in each["vulns"]
    }
    packages = {(each["name"], each["version"]) for each in audited}
    lines = [*sorted(found), f"{len(packages)} packages audited, {len(found)} known vulnerabilities."]
    if unknown:
        lines.append(f"Not known to the advisory service, so not audited: {', '.join(unknown)}.")
    return lines, VULNERABLE if found else NOT_AUDITED if unknown else CLEAN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
