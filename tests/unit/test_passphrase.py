"""A key that is made from a passphrase: once, the same again, and never a second one by a slip of the finger."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from jupyter_nativeauth import _passphrase
from jupyter_nativeauth._passphrase import PASSPHRASE_VARIABLE, Passphrase
from jupyter_nativeauth.errors import KeySourceUnavailable, StoreError
from jupyter_nativeauth.keys import Keys
from jupyter_nativeauth.testing import KeySourceContract
from tests.isolation import Home
from tests.terminal import Terminal

WORDS = "tulip harbour seven quiet"
CHEAP = {"n": 2**10, "r": 8, "p": 1}


class Somebody:
    """At a terminal, who types what a test says, in this order."""

    def __init__(self, *typed: str) -> None:
        self.typed = list(typed)
        self.asked: list[str] = []

    def __call__(self, question: str) -> str | None:
        self.asked.append(question)
        return self.typed.pop(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "nativeauth"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "words"
    file.write_text(f"{WORDS}\n")
    file.chmod(0o600)
    return file


def passphrase(folder: Path, *typed: str, cost: Mapping[str, int] = CHEAP, **environ: str) -> Passphrase:
    return Passphrase(folder, lambda value: value[:4].hex(), environ, ask=Somebody(*typed), cost=cost)


def refused(one: Passphrase, *, interactive: bool = True, create: bool = True) -> KeySourceUnavailable:
    with pytest.raises(KeySourceUnavailable) as raised:
        one.find(interactive=interactive, create=create)
    assert raised.value.hint
    return raised.value


class TestPassphraseInAFile(KeySourceContract):
    """The whole chain, with a passphrase in a file."""

    key_source = "passphrase"

    def make_keys(self, folder: Path) -> Keys:
        file = folder / "words"
        file.touch(0o600)
        file.write_text(WORDS)
        vaults, environ = folder / "nativeauth", {PASSPHRASE_VARIABLE: str(file)}
        cheap = Passphrase(vaults, lambda value: value[:4].hex(), environ, cost=CHEAP)
        return Keys(vaults, environ=environ, passphrase=cheap)


def test_the_same_passphrase_is_the_same_key(folder: Path, file: Path) -> None:
    """Typed or in a file, in this process or another; it is asked for once, and a new one twice."""
    somebody = Somebody(WORDS, WORDS)
    one = Passphrase(folder, lambda value: value[:4].hex(), {}, ask=somebody, cost=CHEAP)
    assert one.find(interactive=False, create=False) is None
    made = one.find(interactive=True, create=True)
    assert len(made or b"") == 32
    assert one.find(interactive=False, create=False) == made
    assert len(somebody.asked) == 2
    assert passphrase(folder, WORDS).find(interactive=True, create=True) == made
    assert passphrase(folder, **{PASSPHRASE_VARIABLE: str(file)}).find(interactive=False, create=False) == made


def test_two_homes_have_two_keys(tmp_path: Path) -> None:
    """The salt is random."""
    made = [passphrase(tmp_path / one, WORDS, WORDS).find(interactive=True, create=True) for one in "ab"]
    assert made[0] != made[1]


def test_letters_count_not_how_they_are_typed(folder: Path) -> None:
    """A letter with an accent is the same as one code point or as two."""
    made = passphrase(folder, *["Pom\u00e8lo sur le ch\u00eane"] * 2).find(interactive=True, create=True)
    assert passphrase(folder, "Pome\u0300lo sur le che\u0302ne").find(interactive=True, create=False) == made


def test_a_wrong_passphrase_is_an_error_and_makes_no_key(folder: Path) -> None:
    """Nothing changes, and the right one still opens."""
    made = passphrase(folder, WORDS, WORDS).find(interactive=True, create=True)
    before = (folder / "passphrase.json").read_bytes()
    assert refused(passphrase(folder, "tulip harbour seven quieter")).code == "passphrase_wrong"
    assert (folder / "passphrase.json").read_bytes() == before
    assert passphrase(folder, WORDS).find(interactive=True, create=True) == made


def test_a_new_passphrase_is_not_chosen_by_mistake(folder: Path) -> None:
    """Two that differ, or one that is short: an error, and nothing is written."""
    assert refused(passphrase(folder, WORDS, "tulip harbor seven quiet")).code == "passphrase_wrong"
    assert refused(passphrase(folder, *["short"] * 2)).code == "passphrase_short"
    assert not (folder / "passphrase.json").exists()


def test_nobody_is_asked_unless_they_sign_in(folder: Path) -> None:
    """Not for a request in the background; and where nobody can be asked, the error says what to do."""
    passphrase(folder, WORDS, WORDS).find(interactive=True, create=True)
    for nobody, interactive in ((passphrase(folder), False), (Passphrase(folder, bytes.hex, {}, ask=None), True)):
        error = refused(nobody, interactive=interactive, create=False)
        assert error.code == "passphrase_needed"
        assert PASSPHRASE_VARIABLE in error.hint


@pytest.mark.parametrize(
    ("mode", "content", "code"),
    [
        (0o644, b"tulip harbour seven quiet", "key_file_open"),
        (0o600, b"\xff" * 20, "passphrase_wrong"),
        (0, None, "key_file_missing"),
    ],
)
def test_a_wrong_file_is_an_error(folder: Path, file: Path, mode: int, content: bytes | None, code: str) -> None:
    """The rules of key files hold for it too."""
    file.chmod(mode)
    file.unlink() if content is None else file.write_bytes(content)
    assert refused(passphrase(folder, **{PASSPHRASE_VARIABLE: str(file)})).code == code
    assert not folder.exists()


def test_nothing_that_opens_is_written(folder: Path) -> None:
    """Beside the vaults: a salt, a cost, a name of the key. Neither the passphrase nor the key."""
    made = passphrase(folder, WORDS, WORDS).find(interactive=True, create=True)
    text = (folder / "passphrase.json").read_text()
    assert set(json.loads(text)) == {"salt", "n", "r", "p", "key_id"}
    assert WORDS not in text
    assert (made or b"").hex() not in text
    assert (folder / "passphrase.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "change",
    [{"n": 2**30}, {"n": 0}, {"r": -8, "p": -1}, {"salt": "00"}, {"salt": 5}, {"key_id": None, "n": "x"}],
)
def test_a_damaged_recipe_is_an_error(folder: Path, change: dict[str, object]) -> None:
    """It is neither believed (it could ask for all memory) nor written over."""
    passphrase(folder, WORDS, WORDS).find(interactive=True, create=True)
    path = folder / "passphrase.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    spoilt = path.read_bytes()
    with pytest.raises(StoreError, match="is damaged") as raised:
        passphrase(folder, WORDS).find(interactive=True, create=True)
    assert raised.value.hint
    assert path.read_bytes() == spoilt


def test_the_real_cost(folder: Path) -> None:
    """What is written says how costly it was, so that a later version can ask for more and still open it."""
    assert passphrase(folder, WORDS, WORDS, cost=_passphrase.COST).find(interactive=True, create=True)
    told = json.loads((folder / "passphrase.json").read_text())
    assert told["n"] * told["r"] * 128 >= 128 * 2**20


def test_it_is_asked_at_a_terminal_and_does_not_show(home: Home) -> None:
    """The real question at a real terminal: what is typed is not to be seen. Without a terminal there is none."""
    program = (
        "from pathlib import Path; import os\n"
        "from jupyter_nativeauth.keys import Keys\n"
        "key = Keys(Path(os.environ['HOME'], 'vaults')).find('passphrase', interactive=True, create=True)\n"
        "print('made', key)\n"
    )
    with Terminal(program, dict(os.environ)) as terminal:
        at = terminal.wait_for("A new passphrase, to seal your logins with: ")
        terminal.type(f"{WORDS}\n")
        at = terminal.wait_for("The same once more: ", at)
        terminal.type(f"{WORDS}\n")
        terminal.wait_for("made Key(source='passphrase', label='passphrase')", at)
        assert terminal.end() == 0
        assert WORDS not in terminal.text
