"""INV-01: the sweep finds every leak that a test makes on purpose, and nothing where there is none."""

from __future__ import annotations

import base64
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jwt
from joserfc.jwk import OctKey

from tests.canary import Canary
from tests.needles import Finder, notations

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def on_purpose(canary: Canary) -> None:
    """The sweep around these tests may find what they spill; a second one, inside, is what they are about."""
    canary.allow("")


@pytest.fixture
def inner(tmp_path: Path) -> Iterator[Canary]:
    made = Canary([tmp_path])
    made.start()
    yield made
    made.stop()


def found(inner: Canary) -> set[tuple[str, str]]:
    inner.stop()
    return {(leak.kind, leak.surface) for leak in inner.leaks()}


def test_nothing_is_found_where_nothing_leaks(inner: Canary, tmp_path: Path) -> None:
    """A clean test stays clean, though its secret is in memory and sealed on disk."""
    secret = inner.mint("refresh")
    sealed = AESGCM(os.urandom(32)).encrypt(b"\0" * 12, secret.encode(), None)
    (tmp_path / "acme.vault").write_bytes(sealed)
    logging.getLogger("x").debug("refreshed %s", "*****")
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    assert found(inner) == set()


@pytest.mark.parametrize(
    "spill",
    [
        lambda secret: logging.getLogger("any.logger").debug("got %s", secret),
        lambda secret: logging.getLogger("any.logger").debug("%(token)s", {"token": secret}),
        lambda secret: logging.getLogger().info(secret),
    ],
    ids=["args", "mapping", "root"],
)
def test_a_secret_in_a_log_record_is_found_at_debug(inner: Canary, spill: Callable[[str], None]) -> None:
    """Logging records of all loggers, at DEBUG."""
    spill(inner.mint("access"))
    assert found(inner) == {("access", "log")}


def test_loggers_that_do_not_propagate_or_have_a_level_are_recorded(tmp_path: Path) -> None:
    """A logger of a library that keeps its records to itself, or is set to WARNING, is no hiding place."""
    quiet = logging.getLogger("tests.quiet")
    quiet.propagate, quiet.level = False, logging.WARNING
    inner = Canary([tmp_path])
    inner.start()
    quiet.debug(inner.mint("code"))
    assert found(inner) == {("code", "log")}
    assert quiet.level == logging.WARNING


def test_a_secret_in_a_logged_exception_is_found(inner: Canary) -> None:
    """The traceback of a record counts, with the exceptions that led to it."""
    secret = inner.mint("code")
    try:
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise RuntimeError("something went wrong") from error
    except RuntimeError:
        logging.getLogger("x").exception("no")
    assert found(inner) == {("code", "log")}


@pytest.mark.parametrize(
    "write",
    [
        lambda secret: secret.encode(),
        lambda secret: base64.b64encode(f'{{"access_token": "{secret}"}}'.encode()),
        lambda secret: base64.urlsafe_b64encode(f"x{secret}".encode()),
        lambda secret: f"xx{secret}yy".encode("utf-16"),
        lambda secret: secret.encode().hex().encode(),
        lambda secret: b"\x00\xff" + secret[-14:-1].encode() + b"\x00",
    ],
    ids=["plain", "base64", "base64url", "utf-16", "hex", "a piece"],
)
def test_a_secret_in_a_file_is_found(inner: Canary, tmp_path: Path, write: Callable[[str], bytes]) -> None:
    """Files under the test's folders, in any notation."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file.bin").write_bytes(write(inner.mint("refresh")))
    assert found(inner) == {("refresh", "file deep/file.bin")}


def test_a_secret_in_the_name_of_a_file_is_found(inner: Canary, tmp_path: Path) -> None:
    """A lock or a temporary file must not be named by what it is for."""
    (tmp_path / f"{inner.mint('state')}.lock").touch()
    assert ("state", "the name of a file") in found(inner)


def test_a_spared_folder_is_not_read(inner: Canary, tmp_path: Path) -> None:
    """A browser's own profile knows every address that the browser was sent to."""
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "History").write_text(inner.mint("code"))
    inner.spare(profile)
    assert found(inner) == set()


def test_a_secret_on_a_command_line_is_found(inner: Canary) -> None:
    """argv of child processes, however short they live."""
    subprocess.run([sys.executable, "-c", "pass", inner.mint("access")], check=True)
    assert ("access", "argv of a child process") in found(inner)


def test_a_secret_in_a_childs_environment_is_found(inner: Canary) -> None:
    """The environment that a child process is given."""
    subprocess.run([sys.executable, "-c", "pass"], env={**os.environ, "TOKEN": inner.mint("access")}, check=True)
    assert ("access", "environment of a child process") in found(inner)


def test_a_secret_in_a_grandchild_is_found(inner: Canary) -> None:
    """Processes that our processes start: a server's kernels."""
    secret = inner.mint("verifier")
    code = (
        "import subprocess, sys\n"
        "secret = sys.stdin.readline().strip()\n"
        "child = subprocess.Popen(['sleep', '60'], env={'X': secret, 'PATH': '/bin:/usr/bin'})\n"
        "sys.stdin.readline(); child.kill(); child.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        child.stdin.write(secret + "\n")
        child.stdin.flush()
        while not any(secret in text for surface, text in list(inner._texts) if "of process" in surface):
            time.sleep(0.02)
        child.stdin.write("end\n")
    assert {kind for kind, surface in found(inner) if surface.startswith("environment of process")} == {"verifier"}


def test_a_secret_in_our_own_environment_is_found(inner: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every child would inherit it."""
    monkeypatch.setenv("ANY_NAME", inner.mint("access"))
    assert found(inner) == {("access", "environment of the test process")}


def test_a_secret_in_a_local_variable_of_ours_is_found(inner: Canary) -> None:
    """TRP-29: `%xmode Verbose` prints the local variables of every frame; only our own frames are our business."""
    secret = inner.mint("access")
    scope: dict[str, Callable[[str], None]] = {}
    source = "def refresh(token):\n    raise ValueError('no')"
    exec(compile(source, "/x/jupyter_nativeauth/_refresh.py", "exec"), scope)
    try:
        scope["refresh"](secret)
    except ValueError as error:
        inner.look_error(error)
    assert found(inner) == {("access", "local variables of refresh")}


def test_a_secret_in_the_cause_of_an_exception_is_found(inner: Canary) -> None:
    """INV-03, TRP-30: neither message nor attributes of an exception, nor of what led to it, hold a secret."""
    hidden = ValueError("bad JSON")
    hidden.doc = inner.mint("refresh")  # type: ignore[attr-defined]
    error = RuntimeError("no")
    error.__cause__ = hidden
    inner.look_error(error)
    assert found(inner) == {("refresh", "exception")}


def test_more_surfaces_can_be_handed_in(inner: Canary) -> None:
    """Kernels' messages, pages, notebooks: text, bytes, or anything with a repr."""
    inner.look("page", f"<p>{inner.mint('code')}")
    inner.look("iopub", [inner.mint("state").encode()])
    assert found(inner) == {("code", "page"), ("state", "iopub")}


def test_sources_are_asked_at_the_end(inner: Canary) -> None:
    """A provider's secrets count, though they were made after it was declared."""
    known: list[tuple[str, str]] = []
    inner.source(lambda: known)
    known.append(("access", "opaque-token-by-a-provider"))
    inner.look("page", "opaque-token-by-a-provider")
    assert found(inner) == {("access", "page")}


def test_an_undeclared_secret_of_our_providers_is_found(inner: Canary) -> None:
    """`NATK-` gives them away, even when nobody told the sweep."""
    inner.look("page", "NATK-refresh-" + "x1y2z3a4b5")
    assert found(inner) == {("refresh", "page")}


def test_only_the_allowed_kind_may_be_on_an_allowed_surface(inner: Canary) -> None:
    """What `jupyter nativeauth token` prints is the access token, never the refresh token."""
    inner.allow("stdout", "access")
    inner.look("stdout", inner.mint("access"))
    assert found(inner) == set()
    inner.look("stdout", inner.mint("refresh"))
    assert {leak.kind for leak in inner.leaks()} == {"refresh"}


@pytest.mark.parametrize("secret", ["a<b>&\"c'd/e+f=g h~", "NATK-access-Zx0-_Yw1Vu2", "Ünïcödé-sécrét-0123"])
def test_every_notation_is_found(secret: str) -> None:
    """As it is, escaped for JSON, HTML and URLs, in hex, and in base64 wherever it begins."""
    finder = Finder({secret: "access"})
    assert len(notations(secret)) >= 9
    for text in [
        *notations(secret),
        quote(secret, safe=""),
        *(base64.b64encode(b"x" * n + secret.encode()).decode() for n in range(6)),
    ]:
        assert finder.find(f"..{text}..") == {"access"}, text


def test_twelve_characters_are_a_leak_and_eleven_are_chance() -> None:
    """Any window of twelve characters of the random part."""
    finder = Finder({"NATK-access-0a1b2c3d4e5f6g7h": "access"})
    assert finder.find("xx1b2c3d4e5f6gxx") == {"access"}
    assert finder.find("xx1b2c3d4e5f6xx") == set()


def test_only_the_signature_of_a_jwt_is_random() -> None:
    """Header and claims look alike in all ID tokens, and may well be in a log of their own."""
    token = jwt.encode({"alg": "HS256"}, {"sub": "ada", "iss": "https://acme.example"}, OctKey.generate_key(256))
    head, claims, signature = token.split(".")
    finder = Finder({token: "id"})
    assert finder.find(f"{head} {claims}") == set()
    assert finder.find(signature) == {"id"}
    assert finder.find(signature[5:18]) == {"id"}


SPILLING = """
import os, sys, pytest

def test_clean(canary):
    canary.mint("access")

def test_print(canary):
    print(canary.mint("access"))

def test_stderr(canary):
    print(canary.mint("access"), file=sys.stderr)

def test_file_descriptor(canary):
    os.write(1, canary.mint("access").encode())

def test_read_by_the_test(canary, capfd):
    print(canary.mint("access"))
    capfd.readouterr()

def test_read_from_sys(canary, capsys):
    print(canary.mint("access"))
    capsys.readouterr()

def test_home(canary, home):
    (home.config / "nativeauth.log").write_text(canary.mint("access"))

def test_tmp_path(canary, tmp_path):
    (tmp_path / "x").write_text(canary.mint("access"))

def test_thread(canary, recwarn):
    import logging, threading
    thread = threading.Thread(target=logging.getLogger("bg").debug, args=(canary.mint("access"),))
    thread.start()
    thread.join()

@pytest.fixture
def late(canary):
    yield
    print(canary.mint("access"))

def test_while_tearing_down(late):
    pass

def test_failing_all_the_same(canary):
    print(canary.mint("access"))
    assert False
"""


def test_the_fixture_is_always_on(tmp_path: Path) -> None:
    """INV-01: no test has to ask for it: each that spills something fails, whatever else happens; clean ones pass."""
    file = tmp_path / "test_spilling.py"
    file.write_text(SPILLING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.isolation", "-p", "tests.canary", "-rA"]
    command += ["-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={tmp_path}", str(file)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    names = {line.removeprefix("def ").split("(")[0] for line in SPILLING.splitlines() if line.startswith("def test")}
    failed = {line.split("::")[1].split(" ")[0] for line in run.stdout.splitlines() if line.startswith("ERROR ")}
    assert failed == names - {"test_clean"}, run.stdout
    assert "Secrets leaked (INV-01):\naccess found in stdout" in run.stdout
