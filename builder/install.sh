#!/bin/sh
# Installs a lock file exactly as it stands; Makefile, Dockerfile and CI all install with this script.
#
#   sh builder/install.sh PYTHON LOCK [FOLDER]
#
# PYTHON  the interpreter, such as python3
# LOCK    a file of `name==version --hash=...` lines, such as builder/requirements.txt
# FOLDER  a virtual environment for the packages, made with PYTHON if it is not there; without it the packages go
#         into PYTHON's own environment, as in an image
#
# --no-deps: the lock names every package. pip before 24.0 would look up the dependencies as well, and fails as soon as
# something newer than a locked package with an extra (`pydantic[email]`) is released. `pip check` proves the lock whole.
set -eu

# Measured with the lock of torch 2.15 and its CUDA libraries, which are nearly all of it.
DOWNLOAD_GB=3.4
INSTALLED_GB=7
NEEDED_GB=11 # while it installs, with the wheels still there
CACHE_GB=3   # and pip keeps a copy of them, unless PIP_NO_CACHE_DIR is set

fail() {
  echo "install: $*" >&2
  exit 1
}

[ $# -ge 2 ] || fail "usage: sh builder/install.sh PYTHON LOCK [FOLDER]"
python=$1 lock=$2 folder=${3-}
[ -r "$lock" ] || fail "there is no lock file $lock"

# The interpreter: before anything is made.
suits() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null
}
if ! suits "$python"; then
  for other in python3 python3.14 python3.13 python3.12 python3.11; do
    suits $other && remedy="; $other would do: make PYTHON=$other" && break
  done
  version=$("$python" --version 2>&1 | grep '^Python') || version="not there"
  fail "Python 3.11 to 3.14 is needed, but $python is $version${remedy-}"
fi
if [ -n "$folder" ]; then
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
fi

# The disk.
free_gb() {
  df -Pk "$1" | awk 'NR == 2 { print int($4 / 1000000) }'
}
place=$(dirname "${folder:-$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')}")
[ -d "$place" ] || place=.
if grep -q '^torch==' "$lock" && ! ls "$folder"/lib/python*/site-packages/torch >/dev/null 2>&1; then
  needed=$NEEDED_GB
  [ -n "${PIP_NO_CACHE_DIR-}" ] || needed=$((needed + CACHE_GB))
  free=$(free_gb "$place")
  [ "$free" -ge "$needed" ] || fail "$needed GB of free disk are needed, but $place has $free GB"
  echo "install: $DOWNLOAD_GB GB to download, $INSTALLED_GB GB on disk; this takes 2 to 15 minutes"
fi

work=$(mktemp -d)
log=$work/log
trap 'rm -rf "$work"' EXIT
trap 'echo; fail "stopped; run it again to go on"' INT TERM
if [ -n "$folder" ]; then
  "$python" -m venv "$folder" >"$log" 2>&1 || { cat "$log" >&2 && fail "$python could not make the environment $folder"; }
  python=$folder/bin/python
  mkdir -p "$folder/tmp" # /tmp is often a small part of the memory; the wheels would not fit
  trap 'rm -rf "$work" "$folder/tmp"' EXIT
  TMPDIR=${TMPDIR-$(cd "$folder/tmp" && pwd)}
  export TMPDIR
fi
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# pip's own words go to a log, which is shown if it fails; a person sees one line that counts.
PYTHONUNBUFFERED=1 "$python" -m pip install --no-deps --require-hashes --only-binary :all: --no-user --no-input \
  --disable-pip-version-check --progress-bar off -r "$lock" >"$log" 2>&1 &
pip=$!
trap 'kill $pip 2>/dev/null; wait $pip || :; echo; fail "stopped; run it again to go on"' INT TERM

count() {
  grep -c -E "$1" "$log" || :
}
count_installed() {
  find "$site" -maxdepth 1 -name '*.dist-info' | wc -l
}
began=$(date +%s)
before=$(count_installed)
all=$(grep -c '^[A-Za-z0-9].*==' "$lock")
progress() {
  seconds=$(($(date +%s) - began))
  if [ "$(count '^Installing collected')" -gt 0 ]; then
    what="$(($(count_installed) - before)) of $(count '^(Collecting|Processing)') packages installed"
  else
    what="$(count '^(Collecting|Processing|Requirement already|Ignoring)') of $all packages"
    what="$what$(awk '/^Collecting/ { name = ": " $2 } /^ +Downloading/ { size = " " $(NF - 1) " " $NF; sub(/$/, size, name) }
      END { print name }' "$log")"
  fi
  printf "install: %s, %d:%02d" "$what" $((seconds / 60)) $((seconds % 60))
}
ticks=0
while kill -0 $pip 2>/dev/null; do
  sleep 1
  ticks=$((ticks + 1))
  if [ -t 1 ]; then
    printf '\r\033[K%s' "$(progress)"
  elif [ $((ticks % 20)) -eq 0 ]; then
    progress && echo
  fi
done
[ ! -t 1 ] || printf '\r\033[K'
if ! wait $pip; then
  tail -n 40 "$log" >&2
  fail "pip could not install $lock; its last words are above. Whole downloads are kept: run it again"
fi
"$python" -m pip check --disable-pip-version-check ||
  fail "the packages do not fit together; if $folder is older than $lock, remove it (make clean) and try again"
echo "install: $lock is installed, after $(($(date +%s) - began)) seconds"
