"""Certificates that only who knows their file trusts."""

from __future__ import annotations

import os
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from tests.conftest import absent


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate, and what a server that has it speaks TLS with."""

    server: ssl.SSLContext
    file: Path


def certificate_for(folder: Path, *names: str) -> Certificate:
    """Make a certificate for these names, its files in the folder. Skips without openssl."""
    openssl = which("openssl")
    if openssl is None:
        absent("openssl", "the openssl command, which makes a certificate for the test, is missing")
    key, file = folder / "key.pem", folder / "cert.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    listed = "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)
    name = ["-subj", "/CN=localhost", "-addext", listed, "-days", "2"]
    subprocess.run(
        [openssl, "req", "-x509", *curve, *name, "-keyout", str(key), "-out", str(file)],
        check=True,
        capture_output=True,
        timeout=60,
        env={**os.environ, "LC_ALL": "C"},
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file, key)
    return Certificate(server, file)
