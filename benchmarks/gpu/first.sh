#!/usr/bin/env bash
# The first trip, in the root of the repository on the GPU machine, with .gpu1/: at most seven minutes.
# OUT: where rows and logs go. The weights of RealESRGAN_x4plus come with the second trip.
set -uo pipefail
out=${OUT:-build/gpu}
site=$HOME/site
mkdir -p "$out" "$site"
tar -C "$site" -xJf .gpu1/av.tar.xz
cp -r .gpu1/weights/. "$site/"
python3 -m pip install -q --no-index --no-deps --no-compile --target "$site" .gpu1/*.whl || exit
export PYTHONPATH=$site:. OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1
nvidia-smi -L
timeout 200 python3 -m pytest -m gpu tests/gpu -o addopts= -o filterwarnings=default --import-mode=importlib \
  -p no:cacheprovider -q --tb=short -k "not RealESRGAN_x4plus]" 2>&1 | tee "$out/tests_first.log" | tail -n 40
timeout 180 python3 -m benchmarks.gpu --folder "$out/first" ceilings kernels interpolation faces out_of_memory large_tensors \
  interpolation_peer
