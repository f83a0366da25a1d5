"""
Runs in: everywhere. The configuration: ``nativeauth.toml``, in each folder of Jupyter's config path.

The nearer file wins, profile by profile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from ._settings import CHECKS, OPTIONS, nearest, where_of
from ._tomlfile import read_toml, shown, stamp
from .errors import ConfigError, clean
from .profiles import FILE, Profile, Profiles, no_profile

__all__ = ["load"]

_VARIABLE = "JUPYTER_NATIVEAUTH_CONFIG"
_TOP = ("default", "profiles")


def load(environ: Mapping[str, str] = os.environ) -> Profiles:
    """
    Read the profiles: ``nativeauth.toml`` in each folder of Jupyter's config path, the nearer one wins per profile.

    Files are read again only when they have changed. ``JUPYTER_NATIVEAUTH_CONFIG`` names one file to read instead.

    Args:
        environ: Where that variable is looked up; the folders are Jupyter's own matter.

    Raises:
        ConfigError: A file is not TOML or a key is wrong; names the file, the key and what was expected.
    """
    global _loaded  # noqa: PLW0603 - one value, replaced as a whole
    only = environ.get(_VARIABLE)
    paths = [_full(only)] if only else _usual_paths()
    stamps = tuple(found for path in paths if (found := stamp(path)) is not None)
    if only and not stamps:
        raise ConfigError(
            f"{shown(paths[0])}: there is no such file.",
            hint=f"{_VARIABLE} names it: write the file, or unset the variable.",
        )
    if _loaded is not None and _loaded[0] == (only, stamps):
        return _loaded[1]
    # A file that was written just now may be written again within the same tick of its clock (2 s on some disks).
    settled = all(time.time_ns() - found.modified > 2 * 10**9 for found in stamps)
    book = _read([found.path for found in stamps], place=paths[0] if only else _usual_place())
    _loaded = ((only, stamps), book) if settled else None
    return book


_loaded: tuple[object, Profiles] | None = None


def _usual_paths() -> list[str]:
    from jupyter_core.paths import jupyter_config_path

    return [_full(folder, FILE) for folder in dict.fromkeys(jupyter_config_path())]


def _usual_place() -> str:
    from jupyter_core.paths import jupyter_config_dir

    return _full(jupyter_config_dir(), FILE)


def _full(*parts: str) -> str:
    return os.path.abspath(os.path.expanduser(os.path.join(*parts)))  # noqa: PTH100, PTH111, PTH118 - with each call


def _read(paths: Sequence[str], place: str) -> Profiles:
    tables: dict[str, tuple[object, str]] = {}
    default: tuple[object, str] | None = None
    for path in paths:
        document = read_toml(path)
        for key in document:
            if key not in _TOP:
                raise ConfigError(f'{shown(path)}: there is no key "{clean(key, 60)}".', hint=_near_top(key))
        profiles = document.get("profiles", {})
        if not isinstance(profiles, dict):
            raise ConfigError(f"{shown(path)}: profiles must hold tables, such as [profiles.acme].")
        for name, table in profiles.items():
            tables.setdefault(name, (table, path))
        if default is None and "default" in document:
            default = document["default"], path
    made = {name: _from_table(name, table, path) for name, (table, path) in tables.items()}
    if default is None:
        return Profiles(made, place=place)
    wanted, path = default
    if not isinstance(wanted, str):
        raise ConfigError(f"{shown(path)}: default must be a string, the name of a profile.")
    if wanted not in made:
        raise no_profile(f'{shown(path)}: default names "{clean(wanted, 64)}", which is not there.', wanted, made)
    return Profiles(made, default=wanted, place=place)


def _near_top(key: str) -> str:
    if key in ("provider", *CHECKS, *OPTIONS):
        return "It belongs into the table of a profile, such as [profiles.acme]."
    return nearest(key, _TOP) or 'The keys here are "default" and "profiles".'


def _from_table(name: str, table: object, path: str) -> Profile:
    if not isinstance(table, dict):
        raise ConfigError(f"{where_of(path, name)} must be a table of keys.")
    own = {key: value for key, value in table.items() if key == "provider" or key in CHECKS}
    rest = {key: value for key, value in table.items() if key not in own}
    return Profile(name, source=path, options=rest, **own)
