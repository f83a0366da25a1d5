"""
Runs in: the command line. ``jupyter nativeauth``: sign in and out where there is no notebook.

Exit status: 0 if it worked, 1 if it did not (the reason is on stderr), 2 for a wrong call, 130 for Ctrl-C.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from ._grant import printable
from ._keyfile import KEY_FILE_VARIABLE
from .errors import ConfigError, KeySourceUnavailable, LoginRequired, NativeAuthError

if TYPE_CHECKING:
    from ._account import Account

__all__ = ["main"]

_PROFILE = click.argument("profile", required=False)


class _Commands(click.Group):
    """Our errors are for people: a sentence and what to do, not a traceback."""

    def main(self, args: Any = None, prog_name: str | None = None, **more: Any) -> Any:  # type: ignore[override]
        return super().main(args, prog_name=prog_name or "jupyter nativeauth", **more)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except NativeAuthError as error:
            click.echo(f"Error: {error.args[0]}", err=True)
            if error.hint:
                click.echo(error.hint, err=True)
            context.exit(1)
        except KeyboardInterrupt:
            context.exit(130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jupyter nativeauth")
def main() -> None:
    """Sign in once, from anywhere in Jupyter."""


@main.command()
@_PROFILE
@click.option("--scope", "scopes", multiple=True, help="Ask for this scope too. Can be given several times.")
@click.option("--switch", is_flag=True, help="Choose another account.")
@click.option("--timeout", type=click.FloatRange(1, 3600), metavar="SECONDS", help="How long to wait for you.")
@click.option(
    "--flow",
    type=click.Choice(["auto", "browser", "paste", "device"]),
    default="auto",
    help="How it reaches your browser, and comes back.",
)
def login(profile: str | None, scopes: tuple[str, ...], *, switch: bool, timeout: float | None, flow: str) -> None:
    """Sign in, in your own browser. Every notebook and script of yours is then signed in."""
    from ._accounts import accounts
    from ._login import start, wait
    from ._oauth import Ask
    from ._tokens import Identity

    account = accounts().get(profile)
    key = account.key(interactive=True, create=True)
    if key is not None and key.source == "process":
        raise _would_end_with_this_command(account, "login")
    began = start(profile, Ask(scopes, switch=switch), timeout=timeout, flow=flow)
    if isinstance(began, Identity) and account.lender:
        click.echo(f"{account.lender} has signed you in to {began.profile}, as {began.name}.")
    elif isinstance(began, Identity):
        click.echo(f"Already signed in to {began.profile} as {began.name}. To choose another account, add --switch.")
    else:
        wait(began)  # says what it waits for, and how it ended


def _would_end_with_this_command(account: Account, what: str) -> KeySourceUnavailable:
    name = account.profile.name
    if account.profile.key_source == "memory":
        why = f'The profile {name!r} keeps its {what} in memory only (key_source = "memory").'
    else:
        why = f"There is no keychain here to keep the {what} in."
    instead = f"Start JupyterLab and run `%login {name}` there, or let your script call login() itself."
    if what == "secret":
        instead = "Run this in a terminal of JupyterLab, whose server keeps it until it stops."
    if account.profile.key_source != "memory":
        instead += f" Or keep it longer, with a key file: set {KEY_FILE_VARIABLE} to its path."
    return KeySourceUnavailable(
        f"{why} It would be over as soon as this command ends.",
        code="keychain_missing",
        hint=instead,
    )


@main.command()
@_PROFILE
@click.option("--browser/--no-browser", default=True, help="End the service's own session in the browser too.")
def logout(profile: str | None, *, browser: bool) -> None:
    """Sign out everywhere on this machine, and revoke the tokens."""
    from ._logout import logout as sign_out

    click.echo(str(sign_out(profile, browser=browser)))


@main.command()
@_PROFILE
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def doctor(context: click.Context, profile: str | None, *, as_json: bool) -> None:
    """
    Check this computer, a profile and its service.

    It changes nothing. Exit status: 0 if a sign-in can succeed, 1 if as things are it cannot, 2 for a wrong call.
    """
    from ._doctor import examine

    found = examine(profile)
    click.echo(json.dumps(found.to_json(), indent=2) if as_json else "\n".join(found.lines()))
    context.exit(0 if found.healthy else 1)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(*, as_json: bool) -> None:
    """Who is signed in, for how long, and where the key is."""
    from ._accounts import accounts
    from ._status import status as read

    rows = read()
    if as_json:
        click.echo(json.dumps([row.to_json() for row in rows], indent=2))
        return
    if not rows:
        accounts().get()  # says that there is no profile, and how to write one
    for row in rows:
        click.echo(f"{row.profile}{' (default)' if row.default else ''}: {row.sentence()}")
        if row.email:
            click.echo(f"  e-mail: {row.email}")
        if row.key_label:
            click.echo(f"  key:    {row.key_label}")
        if row.hint:
            click.echo(f"  {row.hint}")


@main.command()
def profiles() -> None:
    """The ways to sign in that nativeauth.toml describes."""
    from ._accounts import accounts
    from .providers import PRESETS, issuer_of

    book = accounts().profiles()
    if not book:
        book.get()  # says so, and how to write one
    for name, profile in book.items():
        preset = PRESETS[profile.provider]
        click.echo(f"{name}{' (default)' if name == book.default else ''}")
        click.echo(f"  service:   {issuer_of(preset, profile.options) or preset.label}")
        if profile.client_id:
            click.echo(f"  client id: {profile.client_id}")
        click.echo(f"  api:       {', '.join(profile.api) or 'none: the access token goes nowhere'}")
        click.echo(f"  from:      {profile.source}")


@main.command()
@_PROFILE
def token(profile: str | None) -> None:
    """
    Print a fresh access token.

    For programs that cannot ask for one themselves. Whoever has it can call the API as you until it ends.
    """
    from ._accounts import accounts

    account = accounts().get(profile)
    try:
        found = account.access_token()
    except LoginRequired as error:
        if error.code != "presence_required":
            raise
        account.confirm_presence()  # this command has been asked for, unlike a renewal in the background
        found = account.access_token()
    click.echo(found.reveal())


@main.command()
@_PROFILE
@click.option("--policy", is_flag=True, help="Only say what root has to install for it, on Linux.")
def presence(profile: str | None, *, policy: bool) -> None:
    """
    Confirm at this device that it is you.

    In a terminal of JupyterLab, the logins of profiles with presence = "hourly" then go on for an hour. Anywhere else
    it only shows that the gate works.
    """
    from ._accounts import accounts

    if policy:
        from ._polkit import install_command

        click.echo(install_command())
        return
    account = accounts().get(profile)
    if account.profile.presence is None:
        raise ConfigError(
            f"The profile {account.profile.name!r} asks for no confirmation.",
            hint='Write presence = "hourly" or presence = "sign-in" into it (docs/presence.md).',
        )
    click.echo("Your computer asks for your password, your fingerprint or a PIN.", err=True)
    account.confirm_presence()
    click.echo("It was confirmed that it is you.")


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--all", "everything", is_flag=True, help="In folders, look at other text files too.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def scan(context: click.Context, paths: tuple[str, ...], *, everything: bool, as_json: bool) -> None:
    """
    Find tokens in notebooks, before somebody else does.

    It says in which file, cell and part, and what kind; never the value. Of folders it looks at all notebooks.

    Exit status: 0 if there is nothing, 1 if there is something, 2 for a wrong call or if a file could not be read.
    """
    from ._scan import Found, Unread
    from ._scan import scan as look

    found: list[Found] = []
    unread: list[Unread] = []
    for one in look(paths, everything=everything):
        if isinstance(one, Unread):
            unread.append(one)
            click.echo(f"Error: {one}", err=True)
        else:
            found.append(one)
            if not as_json:
                click.echo(str(one))
    if as_json:
        told = {"found": [one.to_json() for one in found], "unread": [one.to_json() for one in unread]}
        click.echo(json.dumps(told, indent=2))
    elif found:
        click.echo("Revoke each of them at its service first; then remove it, and clear the cell's output.", err=True)
    context.exit(2 if unread else 1 if found else 0)


@main.group()
def secret() -> None:
    """
    Keep the secret of a confidential client.

    Only for profiles with client_type = "confidential": a native client has none.
    """


@secret.command(name="set")
@_PROFILE
def set_secret(profile: str | None) -> None:
    """
    Keep a client's secret, sealed with the key of your logins.

    It asks for the secret; or give it on standard input. There is no option for it, since others could read it there.
    """
    from ._accounts import accounts
    from ._tokens import Secret

    account = accounts().get(profile)
    name = account.profile.name
    if account.profile.client_type != "confidential":
        raise ConfigError(
            f"The profile {name!r} is of a native client, which has no secret.",
            hint='If the service gave it one, write client_type = "confidential" into the profile.',
        )
    key = account.key(interactive=True, create=True)
    if key is None or key.source == "process":
        raise _would_end_with_this_command(account, "secret")
    given = Secret(_asked_for(name))
    if not given.reveal() or not printable(given.reveal()):
        raise ConfigError("That is no client secret: it is empty, or has blanks in it.", hint="Nothing has changed.")
    account.client_secret().set(given, key)
    click.echo(f"The client secret of {name} is kept, sealed with the key in {key.label}. A sign-out leaves it.")


def _asked_for(name: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(f"Client secret of {name}", hide_input=True, prompt_suffix=": ", err=True)).strip()
    return sys.stdin.read(8192).strip()


@secret.command(name="remove")
@_PROFILE
def remove_secret(profile: str | None) -> None:
    """Forget a client's secret."""
    from ._accounts import accounts

    account = accounts().get(profile)
    there = account.client_secret().remove()
    name = account.profile.name
    click.echo(f"The client secret of {name} is forgotten." if there else f"There is no client secret of {name} here.")


@main.command()
@click.option("--check", is_flag=True, help="Go through all of it in a headless Chromium, and say what fails.")
def demo(*, check: bool) -> None:
    """
    Try it with a provider on this machine.

    It starts an OpenID Connect provider and JupyterLab with a notebook, and says where to click. It needs the extra
    `demo`: pip install "jupyter-nativeauth[demo]"
    """
    run: Callable[[], Any]
    if check:
        from .demo.check import main as run
    else:
        from .demo.run import run_demo as run
    sys.exit(run())


if __name__ == "__main__":
    main()
