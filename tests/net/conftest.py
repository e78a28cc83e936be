"""Shared by the network tests."""

from pathlib import Path

import pytest

from framepack.net.addresses import Policy
from tests.support.certificates import Authority
from tests.support.fetch import Fetch


@pytest.fixture
def loopback() -> Policy:
    """Allows 127.0.0.1 on any port, and nothing else that is private."""
    return Policy(allowed_hosts=("127.0.0.1",))


@pytest.fixture
def fetch(loopback: Policy, tmp_path: Path) -> Fetch:
    """A download function that may reach loopback."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Fetch(loopback, folder)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """A certificate authority that this process trusts."""
    authority = Authority(tmp_path)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(authority.path))
    return authority
