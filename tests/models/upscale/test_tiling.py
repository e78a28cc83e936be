"""Tiles: every pixel once, enough seen around it, and no trace of the cuts."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from framepack.models.memory.device import Device
from framepack.models.upscale.tiling import plan_tiles, tile_overlap
from framepack.models.upscale.upscaler import Upscaler
from tests.support.upscaling import compact, psnr, real_frame, real_network, rrdb


class Request(NamedTuple):
    """A frame and how to cut it."""

    width: int
    height: int
    tile: int
    overlap: int
    multiple: int


requests = st.builds(
    lambda width, height, tile, overlap, multiple: Request(
        width * multiple, height * multiple, tile, overlap, multiple
    ),
    width=st.integers(1, 100),
    height=st.integers(1, 60),
    tile=st.just(0) | st.integers(16, 150),
    overlap=st.integers(0, 60),
    multiple=st.sampled_from([1, 2, 4, 8]),
)


@given(requests)
def test_kept_parts_cover_every_pixel_once(request: Request) -> None:
    """The kept parts cover the frame without gap or overlap."""
    covered = torch.zeros(request.height, request.width)
    for tile in plan_tiles(*request):
        covered[tile.kept(1)] += 1
    assert (covered == 1).all()


@given(requests)
@example(Request(8, 136, 16, 42, 8))
def test_tiles_have_one_size_and_are_inside_the_frame(request: Request) -> None:
    """All tiles have one size and see nothing but the frame, in steps that the network can take."""
    tiles = plan_tiles(*request)
    sizes = {(t.rows.stop - t.rows.start, t.columns.stop - t.columns.start) for t in tiles}
    assert len(sizes) == 1
    for tile in tiles:
        for span, length in ((tile.rows, request.height), (tile.columns, request.width)):
            assert 0 <= span.start <= span.kept_start < span.kept_stop <= span.stop <= length
            assert span.start % request.multiple == span.stop % request.multiple == 0


@given(requests)
def test_tiles_extend_by_the_overlap_beyond_kept_parts(request: Request) -> None:
    """Wherever the frame goes on, the network sees it go on."""
    for tile in plan_tiles(*request):
        for span, length in ((tile.rows, request.height), (tile.columns, request.width)):
            assert span.start == 0 or span.kept_start - span.start >= request.overlap
            assert span.stop == length or span.stop - span.kept_stop >= request.overlap


@given(requests)
def test_kept_parts_are_within_the_tile_size(request: Request) -> None:
    """Memory is bounded by the tile and its overlap, up to rounding."""
    most = request.tile + 2 * request.overlap + 2 * request.multiple
    for tile in plan_tiles(*request):
        for span, length in ((tile.rows, request.height), (tile.columns, request.width)):
            assert request.tile == 0 or span.stop - span.start <= max(min(most, length), request.multiple)


def test_tile_size_zero_is_a_single_tile() -> None:
    """Tile size 0 is one tile, the frame."""
    (tile,) = plan_tiles(1920, 1080, 0, 56)
    assert tile.input() == tile.kept(1) == (slice(0, 1080), slice(0, 1920))


def test_tiles_are_as_small_as_their_number_allows() -> None:
    """A frame slightly larger than a tile is cut into halves, not into a tile and a sliver."""
    left, right = plan_tiles(520, 100, 512, 40)
    assert left.columns.stop - left.columns.start == 301
    assert left.columns.kept_stop == right.columns.kept_start == 260


def test_kept_parts_match_after_upscaling() -> None:
    """Scaled up, a tile's kept part has the size of the hole it fills."""
    for tile in plan_tiles(300, 200, 100, 20):
        for hole, part in zip(tile.kept(4), tile.kept_in_tile(4), strict=True):
            assert hole.stop - hole.start == part.stop - part.start


@pytest.mark.parametrize("convolutions", [2, 16, 32])
def test_overlap_of_short_networks_is_their_receptive_field(convolutions: int) -> None:
    """The overlap of a plain stack is its number of 3x3 convolutions, up to a multiple of four."""
    needed = convolutions + 2
    assert needed <= tile_overlap(compact(convs=convolutions)) < needed + 4


def test_overlap_grows_with_depth() -> None:
    """The overlap grows with the depth of the residual blocks."""
    shallow, deep = tile_overlap(rrdb(blocks=6)), tile_overlap(rrdb(blocks=23))
    assert 32 <= shallow < deep <= 64


def test_overlap_doubles_with_pixel_unshuffle() -> None:
    """A network that works on blocks of 2x2 pixels needs twice the overlap in pixels."""
    assert tile_overlap(rrdb(scale=2, blocks=6)) == 2 * tile_overlap(rrdb(scale=4, blocks=6))


@pytest.mark.parametrize(("convolutions", "size", "tile"), [(2, (65, 47), 8), (16, (150, 70), 32)])
def test_tiles_of_short_networks_equal_the_whole_frame(convolutions: int, size: tuple[int, int], tile: int) -> None:
    """Tiles that see all that counts give the very frame that the whole gives."""
    upscaler = Upscaler(compact(convs=convolutions), Device(torch.device("cpu")))
    frame = torch.rand(1, 3, size[1], size[0])
    assert len(plan_tiles(*size, tile, upscaler.overlap)) > 1
    whole, tiled = upscaler(frame), upscaler(frame, tile_size=tile)
    assert (whole - tiled).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("RealESR_AnimeVideo_v3", (160, 120)),
        ("RealESRGAN_x4plus_anime_6B", (160, 96)),
        ("RealESRGAN_x4plus", (160, 32)),
    ],
)
@pytest.mark.parametrize("clip", ["bikes.mp4", pytest.param("bigbuckbunny.mp4", marks=pytest.mark.slow)])
def test_tiles_of_real_networks_show_no_seams(name: str, size: tuple[int, int], clip: str, tmp_path: Path) -> None:
    """With real weights, tiles are as good as the whole frame, and as smooth where they meet."""
    upscaler = Upscaler(real_network(name, tmp_path), Device.find("cpu"))
    frame = real_frame(clip, 50, 300, 140, size)
    tiles = plan_tiles(*size, 80, upscaler.overlap)
    whole, tiled = upscaler(frame), upscaler(frame, tile_size=80)
    assert len(tiles) > 1
    assert psnr(tiled, whole) > 48
    for seam in {tile.columns.kept_start * upscaler.scale for tile in tiles} - {0}:
        steps = [float((made[..., seam] - made[..., seam - 1]).abs().mean()) for made in (tiled, whole)]
        assert steps[0] == pytest.approx(steps[1], rel=0.1)
