"""Images of the other services, made from Debian packages where no registry is asked.

Each has its name in docker-compose.yml, the program in Debian's version, and as much of the
official image's behaviour as the file uses. What Debian has no package of is left out, by name.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from checks import standin
from checks.engine import Engine

PACKAGES: Final = (
    "postgresql",
    "memcached",
    "nginx-light",
    "prometheus",
    "prometheus-postgres-exporter",
    "prometheus-nginx-exporter",
    "gettext-base",
    "curl",
    "wget",
)

NOT_IN_DEBIAN: Final = ("grafana", "memcached-exporter")

_COMMON: Final = "localhost/mms-check-services"

_POSTGRES: Final = """\
ENV PATH=/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin PGDATA=/var/lib/postgresql/data
COPY postgres.sh /usr/local/bin/
RUN rm -rf /var/lib/postgresql/15 \\
    && install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data \\
    && install -d -o postgres -g postgres -m 3777 /var/run/postgresql
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["/usr/local/bin/postgres.sh"]
CMD ["postgres"]
"""
_NGINX: Final = """\
COPY nginx.sh /usr/local/bin/
RUN ln -sf /dev/stderr /var/log/nginx/error.log
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/usr/local/bin/nginx.sh"]
CMD ["nginx", "-g", "daemon off;"]
"""
_PROMETHEUS: Final = """\
RUN install -d -o 65534 -g 65534 /prometheus
WORKDIR /prometheus
ENTRYPOINT ["prometheus"]
"""
_STEPS: Final = {
    "postgres": _POSTGRES,
    "memcached": 'CMD ["memcached"]\n',
    "nginx": _NGINX,
    "prometheus": _PROMETHEUS,
    "postgres-exporter": 'USER 65534\nENTRYPOINT ["prometheus-postgres-exporter"]\n',
    "nginx-prometheus-exporter": 'USER 65534\nENTRYPOINT ["prometheus-nginx-exporter"]\n',
}


def base_name(image: str) -> str:
    """What an image is of: `nginx` of docker.io/library/nginx:1.28.0."""
    return image.rpartition("/")[2].partition(":")[0]


def make(engine: Engine, folder: Path, images: Iterable[str]) -> list[str]:
    """Make a stand-in for each of the images; returns those that cannot be made."""
    unique = list(dict.fromkeys(images))
    possible = [image for image in unique if base_name(image) in _STEPS]
    if possible:
        if not engine.has_image(_COMMON):
            standin.load(engine, standin.unpack(folder, "services", PACKAGES), _COMMON)
        for image in possible:
            _build(engine, folder, image)
    return [image for image in unique if image not in possible]


def _build(engine: Engine, folder: Path, image: str) -> None:
    context = folder / "service-image"
    shutil.copytree(Path(__file__).parent / "images", context, dirs_exist_ok=True)
    file = context / "Dockerfile"
    file.write_text(f"FROM {_COMMON}\n{_STEPS[base_name(image)]}")
    engine.must("build", "--pull=never", "--tag", image, str(context), timeout=300.0)
