"""Builds the image and runs jobs in it, started in all documented ways, without a Docker engine: `make image-test`.

Needs root, Linux, buildah, debootstrap and about 25 GB of free disk space; takes about ten minutes. Prints the size
of each layer and start-up times, and stops at the first failure.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import logging
import os
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import av

from builder.image_builder import ROOT, Builder, official_base, work_folder
from builder.image_container import Container, Failed, Running, show_end
from tests.support.control_plane import ControlPlane

WORKER: Final = 10001
_TOOLS: Final = ("buildah", "debootstrap", "unshare", "nsenter", "setpriv")
_JOB_SECONDS: Final = 300.0
_START_SECONDS: Final = 60.0
_PORT: Final = 18765
_BY_SIGTERM: Final = 143  # the server shuts down, then ends with the signal that it received


def check(*, holds: bool, claim: str) -> None:
    """Print a claim that holds.

    Raises:
        Failed: it does not hold.
    """
    if not holds:
        raise Failed(claim)
    print(f"  ok: {claim}", flush=True)


def hub_jobs() -> dict[str, dict[str, Any]]:
    """The jobs of the RunPod Hub's tests, by name."""
    tried = json.loads((ROOT / ".runpod" / "tests.json").read_text(encoding="utf-8"))
    return {each["name"]: each["input"] for each in tried["tests"]}


def frames_of(inline: str) -> int:
    """The number of frames of a base64 video."""
    with av.open(io.BytesIO(base64.b64decode(inline)), "r") as video:
        return len(list(video.decode(video=0)))


@contextmanager
def platform(container: Container, **options: Any) -> Iterator[tuple[ControlPlane, Running]]:
    """Run the handler in a container, with a platform that sends it jobs."""
    with ControlPlane() as plane:
        environment: Mapping[str, str] = {**plane.environment(), **options.pop("environment", {})}
        with container.start(environment=environment, **options) as running:
            try:
                yield plane, running
            except BaseException:
                show_end(sys.stdout, running.log)
                raise


def job(plane: ControlPlane, fields: dict[str, Any]) -> dict[str, Any]:
    """Run one job and return its answer.

    Raises:
        Failed: it failed.
    """
    result = plane.run(fields, timeout=_JOB_SECONDS)
    answer: dict[str, Any] = result.get("output") or {}
    if "error" in result or not answer.get("success", True):
        raise Failed(f"the job {fields['endpoint']} failed: {result.get('error')}")
    return answer


def small_upscale() -> dict[str, Any]:
    """The Hub's upscale job with a network that is fast on a CPU."""
    return {**hub_jobs()["upscale"], "model": "RealESR_AnimeVideo_v3"}


def video_job(plane: ControlPlane, name: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run a job, by default the Hub's of this name, and check that its answer contains a video."""
    answer = job(plane, fields or hub_jobs()[name])
    inline = answer.get("output_video_base64", "")
    check(holds=bool(inline) and frames_of(inline) > 1, claim=f"{name}: the answer has an inline video")
    return answer


def defaults(container: Container) -> None:
    """No settings and no volume: results are inline, and the handler does not run as root."""
    with platform(container) as (plane, running):
        names = [name for name in hub_jobs() if name in {"upscale", "pipeline"}]
        if list((container.root / "models").glob("flownet*")):
            names.append("interpolate")
        answers = [video_job(plane, name) for name in names]
        check(holds=running.user_of("handler.py") == WORKER, claim="the handler runs as 10001")
        stored = container.root / "tmp/framepack-outputs" / answers[0]["output_path"].removeprefix("/outputs/")
        check(holds=stored.stat().st_uid == WORKER, claim="the output is in the container's folder")
        check(holds=(container.root / "models").stat().st_uid == WORKER, claim="models can be fetched into /models")
        healthy = running.execute(*container.config["Healthcheck"]["Test"][1:])
        check(holds=healthy.returncode == 0, claim="the health check passes")
        status, seconds = running.stop(_START_SECONDS)
        check(holds=status == 0, claim=f"SIGTERM ends the handler, exit 0 after {seconds:.1f} s")


def root_owned_volume(container: Container) -> None:
    """A network volume that belongs to root: the entry script only creates the folder of outputs."""
    volume = container.work / "volume"
    (volume / "mine").mkdir(parents=True)
    with platform(container, volume=volume) as (plane, _):
        answer = video_job(plane, "upscale", small_upscale())
    stored = volume / "outputs" / answer["output_path"].removeprefix("/outputs/")
    check(holds=stored.stat().st_uid == WORKER, claim="the output is on the volume and belongs to 10001")
    owners = [path.stat().st_uid for path in (volume, volume / "mine", volume / "outputs")]
    check(holds=owners == [0, 0, WORKER], claim="only the folder of outputs changed its owner")

    with platform(container, volume=volume, user=WORKER) as (plane, _):
        video_job(plane, "upscale", small_upscale())
    check(holds=len(list((volume / "outputs").rglob("*.mp4"))) == 2, claim="--user 10001 uses the same folder")

    chosen = {"FRAMEPACK_STORAGE": "file:/runpod-volume/chosen/deep"}
    with platform(container, volume=volume, environment=chosen) as (plane, _):
        video_job(plane, "upscale", small_upscale())
    check(holds=len(list((volume / "chosen/deep").rglob("*.mp4"))) == 1, claim="a store that is set is used")


def read_only_root(container: Container) -> None:
    """A read-only root file system; only /tmp is writable."""
    with platform(container, read_only=True) as (plane, running):
        video_job(plane, "upscale", small_upscale())
        tried = running.execute("touch", "/app/x")
        check(holds=tried.returncode != 0, claim="the root is read-only")
        check(holds=running.user_of("handler.py") == WORKER, claim="the handler runs as 10001")


def other_user(container: Container) -> None:
    """Started as user 10001, with a volume it may not write to: a warning, and outputs stay in the container."""
    volume = container.work / "locked"
    volume.mkdir()
    with platform(container, user=WORKER, volume=volume) as (plane, running):
        video_job(plane, "upscale", small_upscale())
        said = [line for line in running.log.splitlines() if line.startswith("entrypoint: ")]
        check(holds=len(said) == 1 and "outputs stay in this container" in said[0], claim=said[0])
    check(holds=list(volume.iterdir()) == [], claim="nothing was written to the volume")


def serve(container: Container) -> None:
    """The REST server of the same image."""
    command = ("python", "-m", "framepack", "serve", "--host", "0.0.0.0", "--port", str(_PORT))  # noqa: S104 - as documented
    with container.start(command, environment={"FRAMEPACK_API_KEYS": "secret"}) as running:
        waited = wait_for(running, "/ping")
        health = json.loads(get("/health")[1])
        check(holds=health["worker"] == "ready", claim=f"serve answers /ping after {waited:.1f} s, /health: ready")
        healthy = running.execute(*container.config["Healthcheck"]["Test"][1:])
        check(holds=healthy.returncode == 0, claim=f"the health check passes ({healthy.stdout.strip()})")
        fields = {key: value for key, value in small_upscale().items() if key != "endpoint"}
        status, body = get("/postprocess/upscale", fields)
        inline = json.loads(body).get("output_video_base64", "") if status == http.HTTPStatus.OK else ""
        check(holds=bool(inline) and frames_of(inline) > 1, claim="an upscale over REST gives a video")
        exit_status, seconds = running.stop(_START_SECONDS)
        check(holds=exit_status in {0, _BY_SIGTERM}, claim=f"SIGTERM ends the server after {seconds:.1f} s")


def get(path: str, fields: dict[str, Any] | None = None) -> tuple[int, bytes]:
    """Send a request, with a body if there are fields; return status and body of the response."""
    data = None if fields is None else json.dumps(fields).encode()
    headers = {"X-API-Key": "secret", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{_PORT}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=_JOB_SECONDS) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def wait_for(running: Running, path: str) -> float:
    """Wait until the server answers with 200; return the seconds it took.

    Raises:
        Failed: it does not answer in time.
    """
    began = time.monotonic()
    while time.monotonic() - began < _START_SECONDS and running.process.poll() is None:
        try:
            if get(path)[0] == http.HTTPStatus.OK:
                return time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.05)
    show_end(sys.stdout, running.log)
    raise Failed(f"{path} was not answered within {_START_SECONDS:.0f} s")


def startup_times(container: Container) -> None:
    """Seconds from the start of the first process to the end of one job: minimum and maximum of five runs."""
    clip = hub_jobs()["upscale"]["video_base64"]
    filters = {"endpoint": "filters", "brightness": 10, "video_base64": clip}
    for name, command in {
        "list_models": handler({"endpoint": "list_models"}),
        "filters, a whole job": handler(filters),
        "upscale, a whole job": handler(small_upscale()),
        "import torch": ("python", "-c", "import torch"),
    }.items():
        seconds = []
        for _ in range(5):
            began = time.monotonic()
            with container.start(command) as running:
                if running.process.wait(_JOB_SECONDS):
                    show_end(sys.stdout, running.log)
                    raise Failed(f"{name} failed")
                seconds.append(time.monotonic() - began)
        print(f"  {name:24} {min(seconds):6.2f} s to {max(seconds):.2f} s", flush=True)


def handler(fields: dict[str, Any]) -> Sequence[str]:
    """The command that runs one job and exits."""
    return ("python", "-u", "handler.py", "--test_input", json.dumps({"input": fields}))


def packages(container: Container) -> None:
    """The worker's packages can be imported after trimming."""
    names = "torch, torchvision, transformers, av, cv2, numpy, PIL, boto3, fastapi, runpod, spandrel, triton"
    models = "from transformers import Florence2ForConditionalGeneration, GraniteForCausalLM, AutoTokenizer"
    with container.start(("python", "-c", f"import {names}; {models}")) as running:
        status = running.process.wait(_JOB_SECONDS)
        check(holds=status == 0, claim=f"these can be imported: {names}" if status == 0 else running.log)
    with container.start(("pip", "check")) as running:
        check(holds=running.process.wait(_JOB_SECONDS) == 0, claim="pip check")
    left = list((container.root / "usr/local").rglob("*.a"))
    check(holds=left == [], claim="no static library is left")


def sizes(engine: Builder) -> None:
    """The size of each layer."""
    layers = engine.layers()
    for layer in layers:
        print(f"  {layer.size_bytes / 1e6:8.1f} MB  {layer.made_by}")
    print(f"  {sum(layer.size_bytes for layer in layers) / 1e6:8.1f} MB  in all", flush=True)


def main() -> int:
    """Return 0 if all checks pass, 1 if one fails, 2 if this machine lacks a requirement."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_BY_SIGTERM))  # so that everything is cleaned up
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # a killed worker leaves its requests open
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--weights", default="none", help="build argument WEIGHTS (default none: nothing is fetched)")
    parser.add_argument("--weights-from", type=Path, help="folder of files of weights for the build")
    parser.add_argument("--work", type=Path, help="folder that keeps base and layers for the next run")
    options = parser.parse_args()
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        print(f"image-test: needs root and {', '.join(missing or _TOOLS)}.", file=sys.stderr)
        return 2
    engine = Builder(options.work or work_folder())
    try:
        began = time.monotonic()
        engine.make_base(official_base())
        print(f"Base: {time.monotonic() - began:.0f} s", flush=True)
        engine.build({"WEIGHTS": options.weights, "VERSION": "test"}, options.weights_from)
        print(f"Build: {time.monotonic() - began:.0f} s\nLayers:", flush=True)
        sizes(engine)
        for part in (packages, defaults, root_owned_volume, read_only_root, other_user, serve, startup_times):
            print(f"{part.__name__}: {(part.__doc__ or '').strip()}", flush=True)
            with engine.container() as container:
                part(container)
    except Failed as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    finally:
        if options.work is None:
            engine.clean()
    print("The image passed all checks.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
