"""docs/providers/adding.md, done to a copy of the package: one entry in providers.py, and people sign in."""

from __future__ import annotations

import ast
import filecmp
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupyter_nativeauth
from tests.emulators.certified import Certified, Row
from tests.isolation import Home
from tests.oidc_provider import OidcProvider
from tests.person import working
from tests.system_browser import SystemBrowser

PACKAGE = Path(jupyter_nativeauth.__file__).parent
PAGE = PACKAGE.parent / "docs" / "providers" / "adding.md"
LIFE = """
import jupyter_nativeauth
from jupyter_nativeauth import get_session, login, logout, status
from jupyter_nativeauth._accounts import accounts

print(jupyter_nativeauth.__file__)
print(login().name, status()[0].service)
print(get_session().get("/api/me").json()["name"])
before = accounts().get().access_token()
print(accounts().get().access_token(rejected=before) != before)
report = logout()
print(report.revoked, report.provider_session)
"""


def inner(block: str) -> str:
    """The entry in a block that holds a dictionary of one."""
    ast.parse(block)
    return block.removeprefix("{\n").removesuffix("}\n")


def test_what_the_page_says_is_all_there_is_to_do(home: Home, oidc: OidcProvider, tmp_path: Path) -> None:
    """A fifth service is data: with the page's entry in providers.py, and no other change, a whole life works."""
    entry, row = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    copy = tmp_path / "lib" / "jupyter_nativeauth"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "labextension"))
    code = (copy / "providers.py").read_text(encoding="utf-8")
    place = '        "oidc": Preset('
    assert code.count(place) == 1
    (copy / "providers.py").write_text(code.replace(place, inner(entry) + place), encoding="utf-8")
    assert filecmp.dircmp(PACKAGE, copy).diff_files == ["providers.py"]

    ((name, made),) = eval(row, {"Row": Row}).items()
    service = Certified(oidc, name, made)
    with working(home, service):
        browser = SystemBrowser(tmp_path / "browser")
        env = {**browser.env, "PYTHONPATH": str(copy.parent)}
        done = subprocess.run(
            [sys.executable, "-c", LIFE],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stdout.splitlines() == [
        str(copy / "__init__.py"), "Ada Example ZITADEL", "Ada Example", "True", "True ended"
    ], done.stderr  # fmt: skip
    steps = [step for step in service.steps() if step not in ("discovery", "end_session")]
    assert steps == [
        *("authorization", "authorization_code", "jwks", "userinfo"),
        *("api", "refresh_token", "revocation"),
    ]
