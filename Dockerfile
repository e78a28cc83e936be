# The worker's image. CUDA comes with the torch wheels; the base needs only Python and the driver that the host mounts.
# Build with `make image`; `make image-test` builds this file without a Docker engine and runs jobs in it.
ARG BASE=python:3.13.16-slim-trixie

# The weights, in a stage that knows nothing of our code: a change of code fetches nothing anew. Each file counts only
# with its published SHA-256.
FROM ${BASE} AS weights
# none, upscalers, default (all that may be used freely), all (with GFPGAN: read its license first), or names of models.
ARG WEIGHTS=default
# Folder of the build context that has files already, such as weights; by default one that has none.
ARG WEIGHTS_FROM=builder/weights.json
COPY ${WEIGHTS_FROM} /given/
COPY builder/fetch_weights.py builder/weights.json /builder/
RUN --mount=type=cache,target=/var/cache/framepack-weights \
    python /builder/fetch_weights.py "${WEIGHTS}" --to /models --given /given --cache /var/cache/framepack-weights

FROM ${BASE}
ENV OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
# Triton compiles its access to the driver with a C compiler, at run time.
RUN apt-get update && apt-get install -y --no-install-recommends tini gcc libc6-dev && rm -rf /var/lib/apt/lists/* \
    && useradd --no-create-home --uid 10001 --home-dir /tmp worker
WORKDIR /app

# What changes least comes first. The worker may add language models to the folder of weights, which are not baked.
COPY --from=weights --chown=10001:10001 /models /models

# pip compiles to bytecode, which makes every cold start several times faster.
COPY builder/install.sh builder/requirements.txt builder/trim_packages.py builder/
RUN sh builder/install.sh python builder/requirements.txt \
    && python builder/trim_packages.py

COPY LICENSE THIRD_PARTY_NOTICES.md README.md test_input.json handler.py ./
COPY builder/entrypoint.sh builder/healthcheck.py builder/
COPY framepack framepack
RUN python -m compileall -q framepack handler.py

# Everything is written below /tmp, the store and /models, so the root may be read-only. HOME takes the caches of the
# Hugging Face Hub, torch and (without a network volume) Triton along.
ENV HOME=/tmp FRAMEPACK_WEIGHTS_DIR=/models FRAMEPACK_TEMP_DIR=/tmp/framepack RUNPOD_LOG_LEVEL=INFO
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-I", "/app/builder/healthcheck.py"]

ARG VERSION=unreleased
LABEL org.opencontainers.image.title="FramePack worker" \
      org.opencontainers.image.description="Finishes AI videos: upscale, interpolate, filters, loop, join, export" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"

# Started as root, the entry script gives a network volume's folder to the user `worker` (10001) and becomes that user.
# It also runs as any other user: docker run --user 10001 ...
ENTRYPOINT ["tini", "--", "/app/builder/entrypoint.sh"]
# The REST side of the same image (docs/rest.md): python -m framepack serve --host 0.0.0.0 --port 8000
CMD ["python", "-u", "handler.py"]
