"""A fast path proves itself before it is used: equal, faster, and otherwise one line that says why not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from framepack.models import fast_path
from framepack.models.fast_path import Path, fastest

RIGHT = torch.linspace(0, 1, 1000)


def path(
    name: str, takes: float, error: float = 0.0, fails: Callable[[], Exception] | None = None
) -> tuple[Path, float]:
    """A way to compute a ramp, off by an error, and the time that it takes."""

    def outputs() -> list[Tensor]:
        if fails is not None:
            raise fails()
        return [RIGHT + error]

    return Path(name, outputs, lambda: torch.tensor(takes)), takes


def timer(work: Callable[[], Tensor]) -> float:
    """The time that a path was given."""
    return float(work())


def choose(*paths: tuple[Path, float]) -> str | None:
    """The name of the path that is chosen beside the first one."""
    plain, *candidates = (each for each, _ in paths)
    found = fastest("Sums", plain, candidates, milliseconds=timer)
    return None if found is None else found.name


def test_the_fastest_equal_path_is_used(caplog: pytest.LogCaptureFixture) -> None:
    """The line in the log has its name, both times and the PSNR of the worst output."""
    caplog.set_level("INFO")
    paths = (path("plain", 9), path("first", 5), path("second", 4, error=1e-4), path("third", 6))

    assert choose(*paths) == "second"
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(
        "Sums: the fast path (second) takes 4.00 ms where the plain one takes 9.00, at 80.0 dB (3 tried in "
    )


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (path("slow", 12), "it takes 12.00 ms where the plain one takes 9.00"),
        (path("same", 9), "it takes 9.00 ms where the plain one takes 9.00"),
        (path("wrong", 1, error=2e-3), "its results differ (54.0 dB)"),
        (path("nan", 1, error=float("nan")), "its results differ (nan dB)"),
        (path("infinite", 1, error=float("inf")), "its results differ (-inf dB)"),
        (
            path("broken", 1, fails=lambda: RuntimeError("Failed to find C compiler.\nPlease specify one.")),
            "trying it failed with RuntimeError: Failed to find C compiler.",
        ),
        (path("absent", 1, fails=lambda: ImportError("No module named 'triton'")), "No module named 'triton'"),
        (path("full", 1, fails=lambda: torch.OutOfMemoryError("CUDA out of memory.")), "memory ran out while it"),
    ],
    ids=lambda value: value[0].name if isinstance(value, tuple) else "",
)
def test_a_path_that_cannot_be_used_steps_aside(
    candidate: tuple[Path, float], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Slower, different or broken: the plain path stays, and one line says why."""
    assert choose(path("plain", 9), candidate) is None
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("Sums: the fast path is not used: ")
    assert reason in caplog.messages[0]


def test_a_broken_candidate_does_not_hinder_the_others() -> None:
    """One that does not fit into a GPU's shared memory is passed over."""
    broken = path("broken", 1, fails=lambda: ValueError("out of resource: shared memory"))

    assert choose(path("plain", 9), broken, path("good", 5), path("wrong", 1, error=1)) == "good"


def test_a_result_of_another_number_or_shape_is_no_equal_one() -> None:
    """Nothing is compared with less than all of it."""
    plain = path("plain", 9)
    for outputs in ([], [RIGHT, RIGHT], [RIGHT[:7]]):
        other = Path("other", lambda outputs=outputs: outputs, lambda: RIGHT)  # type: ignore[misc]
        assert fastest("Sums", plain[0], [other], milliseconds=lambda _: 1.0) is None


def test_out_of_memory_on_the_plain_path_leaves_it_in_use(caplog: pytest.LogCaptureFixture) -> None:
    """Loading goes on: there may be memory enough for smaller work."""
    plain = path("plain", 9, fails=lambda: torch.OutOfMemoryError("CUDA out of memory."))

    assert choose(plain, path("fast", 1)) is None
    assert "memory ran out" in caplog.messages[0]


def test_after_out_of_memory_nothing_of_the_trial_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is given back once the error, which keeps tensors alive, is gone."""
    import sys

    pending: list[BaseException | None] = []
    monkeypatch.setattr(fast_path, "release_memory", lambda: pending.append(sys.exc_info()[1]))
    choose(path("plain", 9), path("full", 1, fails=lambda: torch.OutOfMemoryError("CUDA out of memory.")))

    assert pending == [None]


def test_a_lost_gpu_is_no_reason_to_go_on() -> None:
    """This process cannot compute anything there any more: the error comes out."""
    lost = path("lost", 1, fails=lambda: RuntimeError("CUDA error: an illegal memory access was encountered"))

    with pytest.raises(RuntimeError, match="illegal memory access"):
        choose(path("plain", 9), lost)


def test_no_other_candidate_is_tried_when_time_is_up(caplog: pytest.LogCaptureFixture) -> None:
    """Compiling takes seconds: after 8 of them the best so far is used."""
    caplog.set_level("INFO")
    seconds = iter((0.0, 7.0, 9.0, 10.0))
    paths = (path("plain", 9), path("first", 5), path("second", 4), path("third", 1))
    candidates = [each for each, _ in paths[1:]]
    found = fastest("Sums", paths[0][0], candidates, milliseconds=timer, clock=lambda: next(seconds))

    assert found is not None
    assert found.name == "second"
    assert "(2 tried in 10.0 s)" in caplog.messages[0]
