# The worker's image. CUDA comes with the torch wheels; the base needs only Python and the driver that the host mounts.
FROM python:3.11-slim-bookworm AS base
ENV OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 worker
WORKDIR /app

# Packages first: they change least. pip compiles them to bytecode, which makes every cold start several times faster.
COPY builder/requirements.txt builder/requirements.txt
RUN pip install --require-hashes -r builder/requirements.txt

# Then the weights, checked against their published SHA-256.
COPY framepack/__init__.py framepack/errors.py framepack/settings.py framepack/setting_checks.py framepack/environment.py framepack/job.py framepack/schemas.py framepack/
COPY framepack/net framepack/net
COPY framepack/models framepack/models
COPY builder builder
ENV FRAMEPACK_WEIGHTS_DIR=/models
# The worker may add the language models, which are not baked.
RUN python -m builder.fetch_weights --folder $FRAMEPACK_WEIGHTS_DIR && chown -R worker $FRAMEPACK_WEIGHTS_DIR

COPY framepack framepack
COPY handler.py test_input.json README.md ./
RUN python -m compileall -q framepack handler.py

ENV FRAMEPACK_STORAGE=file:/runpod-volume/outputs FRAMEPACK_TEMP_DIR=/tmp/framepack RUNPOD_LOG_LEVEL=INFO
USER worker
ENTRYPOINT ["tini", "--"]
# The REST side of the same image (docs/rest.md): python -m framepack serve --host 0.0.0.0 --port 8000
CMD ["python", "-u", "handler.py"]
