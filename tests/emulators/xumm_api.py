"""
Runs in: the tests. What Xaman's platform answers to whoever is signed in: its API, and the pages of sign requests.

In reality both are on ``xumm.app``, another origin than that of the OAuth provider; so they are here.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
import secrets
from typing import Any
from urllib.parse import parse_qsl

from tests.answers import Answer, Request
from tests.emulators.oauth import OAuthEmulator
from tests.emulators.xumm_payloads import ADA, BOB, Payload, Payloads, Socket

ACCOUNTS = {"ada": ADA, "bob": BOB}


class XummApi(OAuthEmulator):
    """
    Attributes:
        payloads: The sign requests, and the sockets.
        phone: What a phone does with a sign request that is pushed to it: ``""``, ``"approve"`` or ``"reject"``.
        pushes: Whether sign requests reach the phone by themselves.
        userdata: What applications have stored for people.
    """

    def __init__(self, client_id: str) -> None:
        super().__init__(client_id=client_id)
        self.payloads = Payloads(self.now)
        self.phone = ""
        self.pushes = True
        self.userdata: dict[tuple[str, str], Any] = {}

    def api_sockets(self) -> list[Any]:
        return [(r"/sign/([0-9a-fA-F-]+)", Socket, {"payloads": self.payloads, "page": self._sign_page})]

    async def _sign_page(self, handler: Any, name: str) -> None:
        """What a browser shows of a sign request: a person's choice, and where it goes on."""
        payload = self.payloads.all.get(name)
        body = handler.request.body.decode()
        action = dict(parse_qsl(body)).get("action") if not body.startswith("{") else json.loads(body)["action"]
        if payload is None:
            handler.set_status(404)
            return
        if payload.asked is not None and self.login != "page":
            action = {"auto": "approve", "deny": "reject"}[self.login]
        if action == "approve":
            self.payloads.approve(payload, payload.account or ACCOUNTS[self.username])
        elif action == "reject":
            self.payloads.reject(payload)
        elif action == "expire":
            self.payloads.expire(payload)
        if payload.resolved and payload.address("web"):
            handler.redirect(payload.address("web"), status=302)
            return
        what = f"Sign request {payload.kind}" if action is None else f"{action} done"
        labels = {"approve": "Approve", "reject": "Reject", "expire": "Expire"}
        buttons = "".join(f'<button name="action" value="{key}">{words}</button>' for key, words in labels.items())
        instruction = html.escape(payload.body.get("custom_meta", {}).get("instruction") or "")
        handler.set_header("Content-Type", "text/html; charset=utf-8")
        form = f'<form method="post">{buttons}</form>' if action is None and not payload.resolved else ""
        handler.write(f"<!doctype html><title>{what}</title><h1>{what}</h1><p>{instruction}</p>{form}")

    def do_api(self, request: Request) -> Answer:
        path = request.path.removeprefix("/api/v1/jwt/")
        if path == request.path:
            return Answer(404, json={"error": {"reference": secrets.token_hex(8), "code": 404}})
        known = self.bearer(request)
        if known is None:
            return _refused(813, 403)
        account = ACCOUNTS[known.grant.username]
        kind, _, name = path.partition("/")
        match request.method, kind:
            case "GET", "ping":
                return Answer(json={"pong": True, "client_id": self.client_id, "sub": account, "app_name": "Notebook"})
            case "POST", "payload":
                return self._create(json.loads(request.body), account)
            case ("GET" | "DELETE", "payload") if name in self.payloads.all:
                return self._payload(request.method, self.payloads.all[name])
            case (_, "userdata") if re.fullmatch(r"[a-z0-9]{3,}", name):
                return self._userdata(request, account, name)
        return _refused(404, 404)

    def _create(self, body: dict[str, Any], account: str) -> Answer:
        if not ({"txjson", "txblob"} & body.keys()):
            return _refused(602, 400)
        ends = self.now() + 60 * body.get("options", {}).get("expire", 240)
        payload = self.payloads.add(Payload(body, ends, account=account))
        link = f"{self.api}/sign/{payload.uuid}"
        if self.phone:
            details = (account,) if self.phone == "approve" else ()
            loop = asyncio.get_running_loop()
            loop.call_later(0.1, getattr(self.payloads, self.phone), payload, *details)
        return Answer(
            json={
                "uuid": payload.uuid,
                "next": {"always": link, "no_push_msg_received": f"{link}/qr"},
                "refs": {
                    "qr_png": f"{link}_q.png",
                    "qr_matrix": f"{link}_q.json",
                    "qr_uri_quality_opts": ["m", "q", "h"],
                    "websocket_status": link.replace("http", "ws", 1),
                },
                "pushed": self.pushes,
            }
        )

    def _payload(self, method: str, payload: Payload) -> Answer:
        if method == "GET":
            self.payloads.tell(payload, {"devapp_fetched": True})
            return Answer(json=self.payloads.record(payload, self.mint("usertoken")))
        reason = self.payloads.cancel(payload)
        meta = self.payloads.record(payload, "")["meta"]
        return Answer(json={"result": {"cancelled": reason == "OK", "reason": reason}, "meta": meta})

    def _userdata(self, request: Request, account: str, name: str) -> Answer:
        if request.method == "POST":
            self.userdata[account, name] = json.loads(request.body)
        elif request.method == "DELETE":
            self.userdata.pop((account, name), None)
        return Answer(json={"operation": request.method, "data": self.userdata.get((account, name))})


def _refused(code: int, status: int) -> Answer:
    return Answer(status, json={"error": {"reference": secrets.token_hex(8), "code": code}})
