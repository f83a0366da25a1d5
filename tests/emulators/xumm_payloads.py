"""
Runs in: the tests. Sign requests ("payloads") as Xaman's platform has them: records, events on WebSockets, a phone.

Unconfirmed about the real service, so no test depends on it: the texts of messages, the error number for a body that it
does not like (602 here), whether a socket of a request that is over already says how it ended (it does not here).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tornado.websocket import WebSocketClosedError, WebSocketHandler

ADA, BOB = "rPEPPER7kfTD9w2To4CQk6UCfuHM9c6GDY", "rwietsevLFg8XSmG3bEZzFein1g8RBqWDZ"


@dataclass(eq=False)
class Payload:
    """
    One sign request.

    Attributes:
        account: Whose phone it was pushed to; empty for a sign-in.
        ends: When it can no longer be opened.
        asked: For a sign-in, the authorization request.
    """

    body: dict[str, Any]
    ends: float
    account: str = ""
    asked: Any = None
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    opened: bool = False
    resolved: bool = False
    signed: bool = False
    cancelled: bool = False
    signer: str = ""
    txid: str = ""
    network: str = "MAINNET"
    sockets: set[Socket] = field(default_factory=set)

    @property
    def options(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body.get("options", {})
        return found

    @property
    def kind(self) -> str:
        return str(self.body.get("txjson", {}).get("TransactionType", "Payment"))

    @property
    def submits(self) -> bool:
        return self.kind != "SignIn" and self.options.get("submit") is not False

    def address(self, place: str) -> str:
        """The return address, filled in."""
        text = str(self.options.get("return_url", {}).get(place) or "")
        meta = self.body.get("custom_meta", {})
        filled = {"id": self.uuid, "cid": meta.get("identifier") or "", "txid": self.txid, "txblob": "ABCD"}
        for name, value in filled.items():
            text = text.replace(f"{{{name}}}", value)
        return text


class Payloads:
    """
    All sign requests, and the phones that they are on. Its methods run on the emulator's event loop.

    Attributes:
        network: What the phones are set to.
        countdown: Seconds between two messages that say how long a request can still be opened.
        silent: The sockets no longer answer to signs of life.
        connections: How many sockets were opened so far.
        heard: What clients have sent on them.
        pings: How many signs of life have come.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.all: dict[str, Payload] = {}
        self.network = "MAINNET"
        self.countdown = 15.0
        self.silent = False
        self.connections = 0
        self.heard: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._now = now

    def add(self, payload: Payload) -> Payload:
        self.all[payload.uuid] = payload
        return payload

    def record(self, payload: Payload, user_token: str) -> dict[str, Any]:
        """What ``GET payload/<uuid>`` answers."""
        left = int(payload.ends - self._now())
        meta = payload.body.get("custom_meta", {})
        done = payload.resolved and payload.signed
        return {
            "meta": {
                "exists": True,
                "uuid": payload.uuid,
                "multisign": bool(payload.options.get("multisign")),
                "submit": payload.submits,
                "resolved": payload.resolved,
                "signed": payload.signed,
                "cancelled": payload.cancelled,
                "expired": left < 0 or payload.cancelled,
                "pushed": bool(payload.account),
                "app_opened": payload.opened,
                "opened_by_deeplink": False if payload.opened else None,
                "return_url_app": payload.address("app") or None,
                "return_url_web": payload.address("web") or None,
                "is_xapp": False,
                "signers": payload.options.get("signers"),
                "force_network": payload.options.get("force_network"),
            },
            "application": {"name": "Notebook", "uuidv4": str(uuid.UUID(int=7)), "issued_user_token": user_token},
            "payload": {
                "tx_type": payload.kind,
                "request_json": payload.body.get("txjson"),
                "expires_in_seconds": left,
            },
            "response": {
                "hex": "ABCDEF0123" if done else None,
                "txid": payload.txid or None,
                "resolved_at": "2026-05-03T17:28:40.000Z" if payload.resolved else None,
                "dispatched_to": "wss://xrplcluster.com" if done and payload.submits else None,
                "dispatched_nodetype": payload.network if done and payload.submits else None,
                "dispatched_result": "tesSUCCESS" if done and payload.submits else None,
                "environment_nodeuri": "wss://xrplcluster.com" if done else None,
                "environment_nodetype": payload.network if done else None,
                "environment_networkid": 0 if done else None,
                "account": payload.signer or None,
                "signer": payload.signer or None,
                "user": user_token,
            },
            "custom_meta": {name: meta.get(name) for name in ("identifier", "blob", "instruction")},
        }

    # ---- the phone ----------------------------------------------------------------------------------------------

    def open(self, payload: Payload) -> None:
        if not payload.opened:
            payload.opened = True
            self.tell(payload, {"opened": True})

    def approve(self, payload: Payload, account: str, network: str = "") -> None:
        """Sign it; also after its time, if it was opened before."""
        self.open(payload)
        self.tell(payload, {"pre_signed": True})
        if payload.submits:
            self.tell(payload, {"dispatched": True})
        payload.signer, payload.txid = account, secrets.token_hex(32).upper()
        payload.network = network or payload.options.get("force_network") or self.network
        self._resolve(payload, signed=True)

    def reject(self, payload: Payload) -> None:
        self.open(payload)
        self._resolve(payload, signed=False)

    def expire(self, payload: Payload) -> None:
        """Its time is over. The sockets stay open."""
        payload.ends = self._now() - 1
        self.tell(payload, {"expired": True})

    def cancel(self, payload: Payload) -> str:
        """Take it back; how that went."""
        for said, reason in (
            (payload.cancelled, "ALREADY_CANCELLED"),
            (payload.resolved, "ALREADY_RESOLVED"),
            (payload.opened, "ALREADY_OPENED"),
            (payload.ends < self._now(), "ALREADY_EXPIRED"),
        ):
            if said:
                return reason
        payload.cancelled = True
        self.tell(payload, {"expired": True})
        return "OK"

    def _resolve(self, payload: Payload, *, signed: bool) -> None:
        payload.resolved, payload.signed = True, signed
        self.tell(payload, self.final(payload))

    def final(self, payload: Payload, **changes: Any) -> dict[str, Any]:
        """The last event. *changes* make it lie."""
        return {
            "payload_uuidv4": payload.uuid,
            "reference_call_uuidv4": str(uuid.uuid4()),
            "signed": payload.signed,
            "user_token": True,
            "return_url": {"app": payload.address("app") or None, "web": payload.address("web") or None},
            "opened_by_deeplink": False,
            "custom_meta": payload.body.get("custom_meta", {}),
            "txid": payload.txid,
            **changes,
        }

    # ---- the sockets --------------------------------------------------------------------------------------------

    def tell(self, payload: Payload, message: dict[str, Any]) -> None:
        for one in list(payload.sockets):
            one.say(message)

    def drop(self) -> None:
        """Break all connections."""
        for payload in self.all.values():
            for one in list(payload.sockets):
                one.close(1011, "going away")

    def left(self, payload: Payload) -> dict[str, Any]:
        return {"expires_in_seconds": int(payload.ends - self._now())}


class Socket(WebSocketHandler):
    """``wss://xumm.app/sign/<uuid>``; without an upgrade, the page of that address."""

    def initialize(self, payloads: Payloads, page: Callable[[Any, str], Awaitable[None]]) -> None:
        self._payloads, self._page = payloads, page
        self._payload: Payload | None = None

    async def get(self, *path: str, **_: Any) -> None:
        if self.request.headers.get("Upgrade", "").lower() == "websocket":
            await super().get(*path)
        else:
            await self._page(self, path[0])

    async def post(self, *path: str) -> None:
        await self._page(self, path[0])

    def check_origin(self, origin: str) -> bool:
        return True

    def compute_etag(self) -> None:
        """None: every answer is sent."""

    def open(self, *path: str, **_: Any) -> None:
        store = self._payloads
        store.connections += 1
        store.headers.append({name.lower(): value for name, value in self.request.headers.items()})
        self._payload = store.all.get(path[0])
        if self._payload is None:
            self.say({"message": f"Payload {path[0]} does not exist"})
            self.close()
            return
        self._payload.sockets.add(self)
        self.say({"message": f"Welcome {self._payload.uuid}"})
        self._count_down()

    def _count_down(self) -> None:
        if self._payload is not None and self in self._payload.sockets:
            self.say(self._payloads.left(self._payload))
            asyncio.get_running_loop().call_later(self._payloads.countdown, self._count_down)

    def on_message(self, message: str | bytes) -> None:
        self._payloads.heard.append(str(message))
        if json.loads(message) == {"ping": True} and not self._payloads.silent:
            self.say({"message": "Right back at you!"})

    def on_close(self) -> None:
        if self._payload is not None:
            self._payload.sockets.discard(self)

    def say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(WebSocketClosedError):
            self.write_message(json.dumps(message))
