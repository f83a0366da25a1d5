"""
Runs in: everywhere. Which certificates are trusted, and what is said of one that is not.

A profile's ``ca_bundle`` counts first, then ``SSL_CERT_FILE``, then ``SSL_CERT_DIR``, then what httpx brings along.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import ssl
import time
from collections.abc import Mapping
from typing import NamedTuple

from .errors import ConfigError

__all__ = ["context", "explain", "kept_context", "tls_problem"]


class _Source(NamedTuple):
    """Where the certificates are, and what names that place."""

    name: str
    path: str


def _source(ca_bundle: str | None, environ: Mapping[str, str]) -> _Source | None:
    if ca_bundle is not None:
        return _Source("`ca_bundle`", ca_bundle)
    name = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if environ.get(name)), None)
    return None if name is None else _Source(name, environ[name])


def context(ca_bundle: str | None, environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """
    A new TLS context for a client.

    Args:
        ca_bundle: A file with the certificates to trust; ``None`` for the usual ones.
        environ: The environment, which may name others.

    Raises:
        ConfigError: ``ca_bundle``: what is named is not a readable file with certificates, or no folder.
    """
    source = _source(ca_bundle, environ)
    if source is None:
        import httpx

        return httpx.create_ssl_context(trust_env=False)
    try:
        if source.name != "SSL_CERT_DIR":
            return ssl.create_default_context(cafile=source.path)
        _look_into(source.path)
        return ssl.create_default_context(capath=source.path)
    except (OSError, ValueError):  # the latter for a path with a NUL
        what = "folder" if source.name == "SSL_CERT_DIR" else "file with certificates (PEM)"
        cure = "in nativeauth.toml" if ca_bundle is not None else "in the environment of Jupyter, or remove it"
        shown = source.path if source.path.isprintable() else ascii(source.path)
        raise ConfigError(
            f"{source.name} names {shown}, which is not a readable {what}.",
            code="ca_bundle",
            hint=f"Correct {source.name} {cure}.",
        ) from None


def kept_context(ca_bundle: str | None, environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """The same, made once for as long as the file stays as it is: reading it takes tens of milliseconds."""
    source = _source(ca_bundle, environ)
    try:
        facts = os.stat(source.path) if source is not None else None  # noqa: PTH116 - the path is a str
        state = (facts.st_ino, facts.st_mtime_ns, facts.st_size) if facts is not None else ()
    except (OSError, ValueError):  # also for several folders: OpenSSL looks into those anew each time
        state = ()
    return _made(source, state)


def _look_into(folders: str) -> None:
    """OpenSSL takes several folders, as in PATH, and says nothing of those that are not there: one has to be."""
    problem: OSError | None = None
    for folder in folders.split(os.pathsep):
        try:
            os.listdir(folder)  # noqa: PTH208 - only whether it can be done
        except OSError as error:
            problem = error
        else:
            return
    raise problem or FileNotFoundError(folders)


@functools.lru_cache(maxsize=8)
def _made(source: _Source | None, state: tuple[int, ...]) -> ssl.SSLContext:  # noqa: ARG001 - it is part of the key
    if source is None:
        return context(None, {})
    return context(source.path) if source.name == "`ca_bundle`" else context(None, {source.name: source.path})


# Of OpenSSL's x509_vfy.h; Python names none of them.
_NOT_YET, _OVER, _UNKNOWN, _OTHER_NAME = 9, 10, (2, 18, 19, 20, 21), (62, 64)


def tls_problem(error: BaseException) -> ssl.SSLError | None:
    """What TLS itself said, somewhere below *error*."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return cause


async def explain(problem: ssl.SSLError, host: str, port: int | None, ca_bundle: str | None) -> tuple[str, str]:
    """
    What was wrong with TLS, to go on after the name of *host*; and what to do.

    A clock that is wrong makes good certificates bad, so the time is said where it may be the reason.

    Args:
        problem: What TLS said.
        host: Who was asked.
        port: Where to ask once more, if the certificate is another name's; ``None`` where a proxy stands between.
        ca_bundle: As for :func:`context`.
    """
    if not isinstance(problem, ssl.SSLCertVerificationError):
        speaks = problem.reason not in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")
        return "could not be reached over TLS", "" if speaks else "What answers there speaks no TLS. Is the port right?"
    code = problem.verify_code
    if code in (_NOT_YET, _OVER):
        what = "is not valid yet" if code == _NOT_YET else "is over"
        now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        return (
            f"showed a certificate that {what}",
            f"Is it {now}? If not, set this computer's clock. If so, tell the people who run the service.",
        )
    if code in _UNKNOWN:
        source = _source(ca_bundle, os.environ)
        named = f"{source.name} ({source.path}) does not hold it. " if source is not None else ""
        cure = (
            "Behind a company's proxy the issuer is the company: ask for its certificate as a PEM file, and name that "
            "file with `ca_bundle` in nativeauth.toml, or with SSL_CERT_FILE."
        )
        what = "showed a certificate that is not trusted: this computer does not know who has issued it"
        return what, f"{named}{cure}"
    if code in _OTHER_NAME:
        names = await _names(host, port, ca_bundle) if port is not None else ()
        whose = f"for {' and '.join(names)}, not for {host}" if names else f"for another name than {host}"
        return (
            f"showed a certificate that is not trusted: it is {whose}",
            "Is the address in nativeauth.toml right? A network that asks for a sign-in of its own does this too.",
        )
    return (
        f"showed a certificate that is not trusted ({problem.verify_message})",
        "Whoever has issued it can tell what that means; Python 3.13 and later is stricter than browsers are.",
    )


async def _names(host: str, port: int, ca_bundle: str | None) -> tuple[str, ...]:
    """
    Up to three names that the certificate of *host* is for.

    The connection that was refused does not tell, so this makes another one, on which nothing is sent. Who has issued
    the certificate is checked there as well: not everybody can have any name repeated here.
    """
    import asyncio  # which no session needs before

    with contextlib.suppress(ConfigError, OSError, TimeoutError):
        trusted = context(ca_bundle)
        trusted.check_hostname = False
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection(host, port, ssl=trusted, server_hostname=host)
        shown = writer.get_extra_info("peercert")
        writer.transport.abort()
        named = [value for _, value in shown.get("subjectAltName", ()) if re.fullmatch(r"[\w.*:-]+", value, re.ASCII)]
        return tuple(named[:3])
    return ()
