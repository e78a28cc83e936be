"""The distribution is built and installed once."""

from __future__ import annotations

import pytest

from tests.support.distribution import Built, Installed, build, install


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """What `make dist` makes of the files that git tracks."""
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, installed."""
    return install(built.wheel, tmp_path_factory.mktemp("installed"))
