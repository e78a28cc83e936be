"""TypeScript types that are generated from the OpenAPI document compile strictly, and a client with them works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from framepack.media.read.probe import probe
from tests.support.clients import example
from tests.support.clips import Spec, make_clip
from tests.support.node import needs_node, node
from tests.support.rest_server import KEY, RestServer

pytestmark = needs_node

TSC = ("tsc", "--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext")
PROGRAM = """
import { readFile, writeFile } from "node:fs/promises";
import { process as finish } from "./client.js";

const [server, key, preset] = process.argv.slice(2);
const clip = new Blob([await readFile("video.mp4")]);
try {
  const result = await finish(server, key, clip, preset);
  await writeFile("result.mp4", Buffer.from(await result.arrayBuffer()));
} catch (error) {
  console.log(error.message);
}
"""
RIGHT = """
import type { components, operations, webhooks } from "./framepack.js";
type Api = components["schemas"];

export const request: Api["UpscaleRequest"] = { video_url: "https://example.com/a", scale_factor: 2, model: "any" };
export const steps: Api["Step"][] = [{ type: "upscale", params: { scale_factor: 4 } }, { type: "loop" }];
export const parameters: operations["pipeline_from_preset"]["parameters"]["query"] = { preset_name: "any" };

type Answer = operations["upscale"]["responses"][200]["content"]["application/json"];
export const path = (answer: Answer) => ("processing" in answer ? answer.job_id : answer.output_path);
export const jobId = (answer: operations["upscale"]["responses"][202]) => answer.headers["X-Job-Id"]?.length;
export const isBusy = (problem: Api["Problem"]) => problem.code === ("busy" satisfies Api["ErrorCode"]);

type Callback = webhooks["jobEnded"]["post"]["requestBody"]["content"]["application/json"];
export const ended = (callback: Callback) => (callback.success ? callback.output_url : callback.error);

const always: { success: boolean; output_file_size: number } = {} as Api["VideoResponse"];
export const done = [always, ({} as Api["JobView"]).progress?.frames_done?.toFixed()];
"""
WRONG = """
import type { components, operations } from "./framepack.js";
type Api = components["schemas"];
const size: Api["UpscaleRequest"] = { scale_factor: "2" };
const unknown: Api["UpscaleRequest"] = { scale: 2 };
const type: Api["Step"] = { type: "upscaled" };
const params: Api["Step"] = { type: "loop", params: { scale_factor: 2 } };
const name: operations["pipeline_from_preset"]["parameters"]["query"] = {};
const body: operations["upscale"]["requestBody"] = undefined;
const code: Api["ErrorCode"] = "new";
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """A server with a worker."""
    with RestServer(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def made(server: RestServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the types, made without flags."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "openapi.json").write_bytes(server.get("/openapi.json").content)
    (folder / "package.json").write_text('{"type": "module"}')

    done = node("openapi-typescript", "openapi.json", "-o", "framepack.d.ts", folder=folder)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "warn" not in (done.stdout + done.stderr).lower()
    return folder


def test_the_client_of_the_documentation_compiles_and_works(server: RestServer, made: Path) -> None:
    """It uploads, starts a pipeline, follows its events, and downloads; errors have their code."""
    make_clip(made / "video.mp4", Spec(size=(96, 64), count=12))
    (made / "client.ts").write_text(example("ts"))
    (made / "program.js").write_text(PROGRAM)

    compiled = node(*TSC, "client.ts", folder=made)
    good, unknown, refused = (
        node("program.js", server.url, key, preset, folder=made)
        for key, preset in ((KEY, "cinematic"), (KEY, "unknown"), ("wrong", "cinematic"))
    )

    assert compiled.returncode == 0, compiled.stdout
    assert (good.returncode, good.stdout) == (0, ""), good.stdout + good.stderr
    assert (probe(made / "result.mp4").width, probe(made / "result.mp4").length) == (96, 12)
    assert unknown.stdout.startswith("not_found: "), unknown.stdout + unknown.stderr
    assert refused.stdout.startswith("unauthorized: "), refused.stdout + refused.stderr


def test_types_allow_what_the_server_allows_and_refuse_what_it_refuses(made: Path) -> None:
    """Fields with a default need not be given, and answers, headers and callbacks can be told apart."""
    (made / "right.ts").write_text(RIGHT)
    (made / "wrong.ts").write_text(WRONG)

    checked = node(*TSC, "--noEmit", "right.ts", "wrong.ts", folder=made)

    errors = [line for line in checked.stdout.splitlines() if ": error TS" in line]
    places = [(line.split("(")[0], int(line.split("(")[1].split(",")[0])) for line in errors]
    declarations = [number for number, line in enumerate(WRONG.splitlines(), 1) if line.startswith("const ")]
    assert places == [("wrong.ts", number) for number in declarations], checked.stdout
