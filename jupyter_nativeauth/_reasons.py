"""
Runs in: everywhere. Why nobody is signed in, in words, and what to do about it. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import LoginRequired
from .providers import PRESETS

if TYPE_CHECKING:
    from .profiles import Profile

__all__ = ["OTHER_KEYS", "REASONS", "login_required"]


def login_required(profile: Profile, code: str, hint: str = "") -> LoginRequired:
    """
    The error for *code*, in this profile's words.

    Args:
        profile: Whose login it is.
        code: One of those below.
        hint: What to do about it, where the service has no words of its own for that.
    """
    name, preset = profile.name, PRESETS[profile.provider]
    words = REASONS.get(code, REASONS["signed_out"]).format(name=name)
    more = preset.over_words.get(code) or (preset.no_offline_words if code == "no_refresh_token" else hint)
    way = f"Run `%login {name}` in a notebook, or `jupyter nativeauth login {name}` in a terminal."
    if code == "presence_required":
        way = f'Run `%login {name}` in a notebook, or login("{name}") in your script: this device then asks you.'
    return LoginRequired(words, code=code, hint=f"{more} {way}".strip())


REASONS = {
    "signed_out": "Nobody is signed in to {name!r}.",
    "expired": "The login to {name!r} is over: the service no longer accepts it.",
    "no_refresh_token": "The login to {name!r} is over, and the service gave nothing to renew it with.",
    "refused": "The login to {name!r} could not be renewed.",
    "profile_changed": "The profile {name!r} has changed since the last sign-in.",
    "other_key": "The login to {name!r} was sealed by a server that has stopped, or with another key.",
    "presence_required": "The login to {name!r} waits until you confirm that it is you.",
    "damaged": "The stored login to {name!r} was damaged and has been set aside.",
}

# What helps with `other_key`, by the source of that key.
OTHER_KEYS = {
    "keychain": "Its key is in the OS keychain, which is not in use here.",
    "file": "Its key is in a file, which JUPYTER_NATIVEAUTH_KEY_FILE does not name here.",
    "passphrase": 'Its key is made from a passphrase: set key_source = "passphrase" to be asked for it.',
}
