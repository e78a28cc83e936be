#!/bin/sh
# First process of the image: chooses the store if nobody did, gives up root, and becomes the command.
#
# With FRAMEPACK_STORAGE unset, outputs go to the folder "outputs" of a mounted network volume, else to a folder of the
# container. A store that is a folder is made and handed to the worker's user if it does not exist yet, or if root
# made it; what is in it keeps its owner. With a GPU, the kernels that Triton compiles are kept on a network volume in
# the same way, so that only the first worker compiles them. What cannot be done is said in one line and never stops
# the start.
set -eu

VOLUME=/runpod-volume
GPU=/dev/nvidiactl
IN_CONTAINER=/tmp/framepack-outputs
WORKER=10001

say() { echo "entrypoint: $*" >&2; }

is_root() { [ "$(id -u)" -eq 0 ]; }

# Run a command as the user that the worker will have.
if is_root && setpriv --reuid "$WORKER" --regid "$WORKER" --clear-groups --no-new-privs true 2>/dev/null; then
    DROPS=yes
    as_worker() { setpriv --reuid "$WORKER" --regid "$WORKER" --clear-groups --no-new-privs "$@"; }
else
    DROPS=
    as_worker() { "$@"; }
fi

writable() { as_worker test -d "$1" -a -w "$1" -a -x "$1"; }

# Make a folder and hand it to the worker, if that is needed and allowed. Fails if the worker cannot write there.
claim() {
    if [ ! -e "$1" ]; then
        mkdir -p "$1" 2>/dev/null || return 1
        [ -z "$DROPS" ] || chown "$WORKER:$WORKER" "$1" 2>/dev/null || :
    elif [ -n "$DROPS" ] && [ -d "$1" ] && [ "$(stat -c %u "$1")" -eq 0 ] && ! writable "$1"; then
        chown "$WORKER:$WORKER" "$1" 2>/dev/null || :
    fi
    writable "$1"
}

case "$(echo "${FRAMEPACK_STORAGE:-}" | tr -d '[:space:]')" in
'')
    FRAMEPACK_STORAGE="file:$IN_CONTAINER"
    if mountpoint -q "$VOLUME"; then
        if claim "$VOLUME/outputs"; then
            FRAMEPACK_STORAGE="file:$VOLUME/outputs"
        else
            if [ -n "$DROPS" ]; then user=$WORKER; else user=$(id -u); fi
            say "user $user may not write to $VOLUME/outputs; outputs stay in this container." \
                "Start the container as root once, or make that folder for the user"
        fi
    fi
    if [ "$FRAMEPACK_STORAGE" = "file:$IN_CONTAINER" ]; then
        claim "$IN_CONTAINER" || say "$IN_CONTAINER cannot be written: mount a writable /tmp, or set FRAMEPACK_STORAGE"
    fi
    export FRAMEPACK_STORAGE
    ;;
file:*)
    claim "${FRAMEPACK_STORAGE#file:}" || say "${FRAMEPACK_STORAGE#file:} cannot be written by the worker"
    ;;
esac

if [ -z "${TRITON_CACHE_DIR:-}" ] && [ -e "$GPU" ] && mountpoint -q "$VOLUME"; then
    if claim "$VOLUME/kernels"; then
        export TRITON_CACHE_DIR="$VOLUME/kernels"
    else
        say "$VOLUME/kernels cannot be written by the worker; it compiles its kernels anew in each container"
    fi
fi

if [ -n "$DROPS" ]; then
    exec setpriv --reuid "$WORKER" --regid "$WORKER" --clear-groups --no-new-privs -- "$@"
fi
if is_root; then
    say "the container may not change its user; going on as root"
fi
exec "$@"
