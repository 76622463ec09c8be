"""The verb ``serve``: the page and the HTTP interface, on this computer unless told otherwise."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import warnings
from dataclasses import fields
from pathlib import Path

import uvicorn

from suraksha.cli.segment import add_bundle, load_chosen
from suraksha.errors import UsageError
from suraksha.web.app import create_app
from suraksha.web.logs import log_config
from suraksha.web.settings import LOOPBACK, RequestLimits, Settings

TOKEN_VARIABLE = "SURAKSHA_TOKEN"
GRACE_S = 30
# connections beyond those that are answered, for the page's own files and for health checks
SPARE_CONNECTIONS = 56
LIMITS = {
    "max_upload_mb": ("--max-upload-mb", "MIB", "maximum size of a request"),
    "max_pixels": ("--max-pixels", "N", "maximum number of pixels of an image"),
    "max_files": ("--max-files", "N", "maximum number of files per request"),
    "max_frames": ("--max-frames", "N", "maximum number of frames per request"),
    "max_requests": ("--max-requests", "N", "maximum concurrent requests; others get 429"),
    "workers": ("--workers", "N", "requests processed at the same time"),
    "timeout_s": ("--timeout", "S", "maximum time for an upload, and again for processing"),
}


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``serve``."""
    parser.add_argument("--host", default=LOOPBACK[0], help="address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8765, help="0 for a free one (%(default)s)")
    parser.add_argument(
        "--allow-remote", action="store_true", help="with a --host that others can reach"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"holds the token (or {TOKEN_VARIABLE})"
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="HOST",
        help="additional allowed Host header",
    )  # fmt: skip
    parser.add_argument("--tls-cert", type=Path, metavar="PEM")
    parser.add_argument("--tls-key", type=Path, metavar="PEM")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep images and results")
    add_bundle(parser)
    known = {field.name: field.default for field in fields(RequestLimits)}
    for name, (flag, metavar, text) in LIMITS.items():
        kind = float if name == "timeout_s" else int
        parser.add_argument(
            flag, dest=name, type=kind, default=known[name], metavar=metavar,
            help=f"{text} (%(default)s)",
        )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print where it listens as JSON")


def run_serve(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; what is being answered is finished first."""
    settings = _settings(options)
    segment = load_chosen(options)
    # libraries quote in their warnings what a file holds; a video may not open other addresses
    warnings.simplefilter("ignore")
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")
    config = uvicorn.Config(
        create_app(segment, settings),
        host=options.host,
        port=options.port,
        log_config=log_config(),
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=settings.limits.max_requests + SPARE_CONNECTIONS,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
    )
    listener = config.bind_socket()
    listener.listen(config.backlog)  # so that who reads the address can call at once
    _tell(options, listener, segment.card.name)
    for number in (signal.SIGINT, signal.SIGTERM):  # the server raises them again when it is done
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    token = _token(options)
    if options.host not in LOOPBACK and not (options.allow_remote and token):
        raise UsageError(
            f"--host {options.host} cannot be served",
            "others can reach it, which takes a token and --allow-remote",
            f"Give --allow-remote and --token-file FILE (or {TOKEN_VARIABLE}), or leave --host out",
        )
    if (options.tls_cert is None) != (options.tls_key is None):
        raise UsageError("TLS cannot be used", "it takes a certificate and its key", "Give both")
    limits = RequestLimits(**{name: getattr(options, name) for name in LIMITS})
    hosts = (*options.allow_host, options.host)
    return Settings(limits, token=token, allowed_hosts=hosts, keep=options.keep)


def _token(options: argparse.Namespace) -> str | None:
    if options.token_file is not None:
        return str(options.token_file.read_text(encoding="utf-8").strip())
    return os.environ.get(TOKEN_VARIABLE) or None


def _tell(options: argparse.Namespace, listener: socket.socket, bundle: str) -> None:
    """Where it listens; the token is not printed."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    scheme = "http" if options.tls_cert is None else "https"
    address = f"{scheme}://{host}:{listener.getsockname()[1]}/"
    if options.json:
        print(json.dumps({"address": address, "bundle": bundle}), flush=True)
    else:
        print(
            f"Suraksha on {address} with {bundle}. Research use only. Ctrl-C ends it.", flush=True
        )
    if options.host not in LOOPBACK and options.tls_cert is None:
        print("suraksha: without TLS, token and images can be read on the way", file=sys.stderr)
