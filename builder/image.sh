#!/bin/sh
# Builds the image with Docker, or with buildah where no Docker engine runs. `make image` calls it; all may be left out:
#
#   make image TAG=name:tag WEIGHTS=all WEIGHTS_FROM=weights BASE=python:3.13.16-slim-trixie PLATFORM=linux/amd64
#
# WEIGHTS       none, upscalers, default (without GFPGAN), all, or names of models separated by commas
# WEIGHTS_FROM  weights: take files that are in the folder weights/ from there; each is checked by its hash
set -eu
cd "$(dirname "$0")/.."

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' framepack/__init__.py)
tag=${TAG:-framepack-worker:$version}
set -- --platform "${PLATFORM:-linux/amd64}" --build-arg "VERSION=$version" --tag "$tag"
[ -z "${BASE:-}" ] || set -- "$@" --build-arg "BASE=$BASE"
[ -z "${WEIGHTS:-}" ] || set -- "$@" --build-arg "WEIGHTS=$WEIGHTS"
[ -z "${WEIGHTS_FROM:-}" ] || set -- "$@" --build-arg "WEIGHTS_FROM=$WEIGHTS_FROM"

if docker info >/dev/null 2>&1; then
    DOCKER_BUILDKIT=1 docker build "$@" .
elif command -v buildah >/dev/null; then
    buildah bud --layers --format docker "$@" .
else
    echo "image: needs a running Docker engine, or buildah (apt-get install buildah)." >&2
    exit 1
fi
echo "Built $tag"
