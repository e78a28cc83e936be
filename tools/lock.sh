#!/bin/sh
# Resolves pyproject.toml into the lock files, and checks that every locked package can be had wherever we run.
#
#   sh tools/lock.sh UV [OPTION...]
#
# Pins stay as they are unless pyproject.toml asks for something else. Options go to `uv pip compile`: `--upgrade`
# takes the newest of everything, `--upgrade-package NAME` of one package.
set -eu

uv=$1
shift
export UV_NO_CONFIG=1

compile() {
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" "$@"
}

compile pyproject.toml -o builder/requirements.txt "$@"
compile pyproject.toml --extra weights --group dev -c builder/requirements.txt -o builder/requirements-dev.txt "$@"
compile --group tools -o builder/requirements-tools.txt "$@"
compile --group clients -o builder/requirements-clients.txt "$@"

nowhere=$(mktemp -d)
trap 'rm -rf "$nowhere"' EXIT
for lock in builder/requirements-dev.txt builder/requirements-tools.txt builder/requirements-clients.txt; do # the first holds all of requirements.txt
  for version in 3.11 3.12 3.13 3.14; do
    for machine in x86_64 aarch64; do
      if ! "$uv" pip install --quiet --dry-run --target "$nowhere" --no-deps --require-hashes --only-binary :all: \
        --python-version $version --python-platform $machine-manylinux_2_28 -r $lock; then
        echo "lock: $lock does not work with Python $version on $machine, as said above" >&2
        exit 1
      fi
    done
  done
done
echo "lock: every locked package has a wheel for Python 3.11 to 3.14 on Linux x86_64 and aarch64"
