#!/usr/bin/env python3
"""A certificate authority and a server certificate for 127.0.0.1, made anew for each folder; `certs.py DIR` makes them alone."""

import pathlib
import sys

from caches import run

# A month: longer than any test, short enough that nobody keeps them.
DAYS = "30"
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"


def make(folder):
    """`ca.pem`, `server.pem`, `server.key` and both of the latter in `server-all.pem`, as Kafka wants them."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "server-all.pem").is_file():
        return folder
    ca, ca_key, server, key, request = (folder / name for name in ("ca.pem", "ca.key", "server.pem", "server.key", "server.csr"))
    run("openssl", "req", "-x509", *KEY, "-days", DAYS, "-subj", "/CN=vedette tests", "-keyout", ca_key, "-out", ca,
        "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    run("openssl", "req", *KEY, "-subj", "/CN=localhost", "-addext", NAMES, "-keyout", key, "-out", request)
    run("openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", DAYS,
        "-copy_extensions", "copy", "-out", server)
    (folder / "server-all.pem").write_text(key.read_text() + server.read_text())
    return folder


if __name__ == "__main__":
    print(make(sys.argv[1]))
