"""`pip install jupyter-nativeauth` where there is nothing: no keychain, no D-Bus, no display, hardly a variable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.hostile import Hostile
from tests.http_browser import HttpBrowser
from tests.isolation import Home
from tests.lab import Lab

TOKEN = """
from hashlib import sha256
from jupyter_nativeauth import access_token
print(sha256(access_token().reveal().encode()).hexdigest())
"""
WHO = "%load_ext jupyter_nativeauth\n%whoami"


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A Python into which pip has installed the wheel. What the wheel needs is there already: that of this Python. The
    package itself, its settings and its sidebar come from the wheel alone.
    """
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--ignore-installed", str(wheel)], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    "user",
    [
        pytest.param((), id="who runs the tests"),
        # Root in a namespace of users has another number there, and as little to say as anybody.
        pytest.param(
            ("unshare", "--user", "--map-user=1000", "--map-group=1000"), id="not root", marks=pytest.mark.root
        ),
    ],
)
def test_a_bare_machine(installed: Path, home: Home, hostile: Hostile, user: tuple[str, ...]) -> None:
    """
    FLT-052: a sign-in by the sidebar's own requests serves three kernels, with one token request between them; the
    doctor finds nothing wrong; and after a restart all say that somebody has to sign in again, and why.
    """
    if user and subprocess.run([*user, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this container may not make user namespaces")
    config = home.config / "nativeauth.toml"
    config.write_text(
        f'[profiles.acme]\nissuer = "{hostile.issuer}"\nclient_id = "cli"\napi = ["https://api.example"]\n'
    )
    bare = {"PATH": f"{installed / 'bin'}:/usr/bin:/bin", "HOME": str(home.home), "TMPDIR": str(home.folder / "tmp")}
    nothing: dict[str, str | None] = dict.fromkeys(os.environ)
    runtime = {"JUPYTER_RUNTIME_DIR": str(home.jupyter_runtime)}  # where the test finds the kernels' sockets
    command = (*user, str(installed / "bin" / "python"), "-m", "jupyter_server")
    with Lab(home, command=command, env={**nothing, **bare, **runtime}, extension=False, config=INSTALLED) as server:
        assert sign_in(server) == "signed_in"
        kernels = [server.kernel() for _ in range(3)]
        place = kernels[0].run("import jupyter_nativeauth; print(jupyter_nativeauth.__file__)").stdout
        assert place.startswith(str(installed))
        assert len({kernel.run(TOKEN).stdout for kernel in kernels}) == 1
        assert len(hostile.hits("token")) == 1
        assert "server memory (ends when the server stops)" in str(kernels[1].run(WHO).messages)
        doctor = subprocess.run(
            [*user, str(installed / "bin" / "jupyter-nativeauth"), "doctor", "--json"],
            env=bare,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (doctor.returncode, doctor.stderr) == (0, "")
        said = json.dumps(json.loads(doctor.stdout), ensure_ascii=False)
        assert "The Jupyter server's part and the sidebar are installed and switched on." in said
        server.restart()
        row = profile(server)
        assert (row["state"], "server that has stopped" in row["message"]) == ("other_key", True)
        assert "server that has stopped" in str(server.kernel().run(WHO).messages)
        assert sign_in(server) == "signed_in"


INSTALLED = {"ServerApp": {"jpserver_extensions": {}}}
"""What the wheel has put into the settings of its Python is all that switches the extension on."""


def sign_in(server: Lab) -> str:
    """What a click in the sidebar does; how the profile stands then."""
    with server.http() as http:
        begun = http.post("nativeauth/api/login", json={"profile": "acme"}).raise_for_status().json()
    assert HttpBrowser().open(begun["url"]).url.endswith("/done/signed-in")
    return str(profile(server)["state"])


def profile(server: Lab) -> dict[str, str]:
    with server.http() as http:
        (row,) = http.get("nativeauth/api/profiles").raise_for_status().json()["profiles"]
    return dict(row)
