"""Removes files from installed packages that only compiling or testing needs, about 0.3 GB.

These are static libraries, C headers and the packages' own tests. Triton keeps its headers, because it compiles
kernels at run time.
"""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

_COMPILER = "triton"
_WITH_HEADERS = ("nvidia", "numpy", "torch")
_TESTS = ("tests", "test")


def superfluous(site: Path) -> Iterator[Path]:
    """The files and folders below ``site`` that are not needed at run time. None of them contains another."""
    for package in sorted(path for path in site.iterdir() if path.is_dir()):
        headers = ("include",) if package.name in _WITH_HEADERS else ()
        yield from _in_folder(package, () if package.name == _COMPILER else (*_TESTS, *headers))


def _in_folder(folder: Path, unused: Sequence[str]) -> Iterator[Path]:
    """The static libraries in ``folder``, and the folders whose name is in ``unused``."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if path.name in unused:
                yield path
            else:
                yield from _in_folder(path, unused)
        elif path.suffix == ".a":
            yield path


def size_bytes(path: Path) -> int:
    """Size of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def main() -> None:
    """Trim the packages of this Python."""
    freed = 0
    for path in list(superfluous(Path(sysconfig.get_path("purelib")))):
        freed += size_bytes(path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    print(f"Removed {freed / 1e6:.0f} MB of static libraries, headers and tests.")


if __name__ == "__main__":
    main()
