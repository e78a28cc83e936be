#!/usr/bin/env bash
# The second trip, at once on the same machine, with .gpu2/: at most seven minutes.
set -uo pipefail
out=${OUT:-build/gpu}
site=$HOME/site
mkdir -p "$out"
cp -r .gpu2/weights/. "$site/"
export PYTHONPATH=$site:. OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1
timeout 60 python3 -m pytest -m gpu tests/gpu/test_upscaler_gpu.py -k "RealESRGAN_x4plus]" -o addopts= \
  -o filterwarnings=default --import-mode=importlib -p no:cacheprovider -q --tb=short 2>&1 |
  tee "$out/tests_second.log" | tail -n 15
timeout 330 python3 -m benchmarks.gpu --folder "$out/second" ceilings upscalers first_job encoders upscaling_jobs \
  upscaling_peer profiles
rm -rf "$out"/*/outputs "$out"/*/*.mp4 "$out"/*/*.pth
