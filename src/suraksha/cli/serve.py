"""The verb ``serve``: the web page and the HTTP interface, by default for this computer only."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import warnings
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from suraksha.cli.arguments import add_bundle, load_chosen
from suraksha.errors import InputError, UsageError

if TYPE_CHECKING:
    from suraksha.web.settings import Settings

TOKEN_VARIABLE = "SURAKSHA_TOKEN"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
GRACE_S = 30
# connections beyond those that are answered, for the page's own files and for health checks
SPARE_CONNECTIONS = 56
# field of `suraksha.web.settings.RequestLimits` -> option, metavar, help, default
LIMITS = MappingProxyType(
    {
        "max_upload_mb": ("--max-upload-mb", "MIB", "maximum size of a request in MiB", 128),
        "max_pixels": ("--max-pixels", "N", "maximum pixels of an image", 16_000_000),
        "max_files": ("--max-files", "N", "maximum images in a request", 16),
        "max_frames": ("--max-frames", "N", "maximum frames in a request", 64),
        "max_requests": ("--max-requests", "N", "requests accepted at once; others get 429", 8),
        "workers": ("--workers", "N", "requests processed at once", 2),
        "timeout_s": (
            "--timeout",
            "S",
            "maximum seconds to receive, and to answer, a request",
            60.0,
        ),
    }
)


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``serve``."""
    parser.add_argument("--host", default=LOOPBACK[0], help="address (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8765, help="0 for any free port (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-remote", action="store_true", help="allow a --host that other computers can reach"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="additional allowed Host header; repeatable",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"file with the access token (or set {TOKEN_VARIABLE})",
    )
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="certificate for https")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="its key")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="store images and results here")
    add_bundle(parser)
    for name, (flag, metavar, text, default) in LIMITS.items():
        parser.add_argument(
            flag,
            dest=name,
            type=type(default),
            default=default,
            metavar=metavar,
            help=f"{text} (default: %(default)s)",
        )


def run_serve(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; requests in progress are finished first."""
    settings = _settings(options)
    import uvicorn

    from suraksha.web.app import create_app
    from suraksha.web.logs import log_config

    listener = _listener(options)
    segment = load_chosen(options)
    # warnings of libraries may quote what a file holds; a video may not open other addresses
    warnings.simplefilter("ignore")
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")
    config = uvicorn.Config(
        create_app(segment, settings),
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
    listener.listen(config.backlog)  # whoever reads the address can call at once
    _announce(options, listener, segment.card.name)
    for number in (signal.SIGINT, signal.SIGTERM):  # the server raises them again when it is done
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _listener(options: argparse.Namespace) -> socket.socket:
    """A socket bound to the address.

    Raises:
        InputError: The port is in use, or the address is not one of this computer.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
    except (OSError, OverflowError) as error:
        listener.close()
        why = error.strerror if isinstance(error, OSError) else "a port is at most 65535"
        raise InputError(
            f"cannot listen on {options.host}:{options.port}",
            str(why or error).lower(),
            "Choose another --port (0 takes any free one) or --host",
        ) from error
    listener.set_inheritable(True)
    return listener


def _settings(options: argparse.Namespace) -> Settings:
    from suraksha.web.settings import RequestLimits, Settings

    token = _token(options)
    if options.host not in LOOPBACK and not (options.allow_remote and token):
        raise UsageError(
            f"--host {options.host} cannot be used",
            "other computers can reach it, which requires a token and --allow-remote",
            f"Give --allow-remote and --token-file FILE (or {TOKEN_VARIABLE}), or remove --host",
        )
    if (options.tls_cert is None) != (options.tls_key is None):
        raise UsageError(
            "TLS cannot be used", "it needs both a certificate and its key", "Give both"
        )
    limits = RequestLimits(**{name: getattr(options, name) for name in LIMITS})
    hosts = (*options.allow_host, options.host)
    return Settings(limits, token=token, allowed_hosts=hosts, keep=options.keep)


def _token(options: argparse.Namespace) -> str | None:
    if options.token_file is not None:
        return str(options.token_file.read_text(encoding="utf-8").strip())
    return os.environ.get(TOKEN_VARIABLE) or None


def _announce(options: argparse.Namespace, listener: socket.socket, bundle: str) -> None:
    """Print the address; the token is not printed."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    scheme = "http" if options.tls_cert is None else "https"
    address = f"{scheme}://{host}:{listener.getsockname()[1]}/"
    if options.json:
        print(json.dumps({"address": address, "bundle": bundle}), flush=True)
    else:
        print(
            f"Suraksha is running on {address} with {bundle}. Press Ctrl-C to stop. "
            "Research use only.",
            flush=True,
        )
    if options.host not in LOOPBACK and options.tls_cert is None:
        print(
            "suraksha: without TLS, the token and the images can be read on the network",
            file=sys.stderr,
        )
