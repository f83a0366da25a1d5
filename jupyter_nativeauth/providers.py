"""
Runs in: everywhere. The services that profiles can name as their ``provider``, as data. No I/O.

A service is never asked for by name in code: what sets it apart is a named field of :class:`Preset`, with a comment on
where that is written. The pages named here are the services' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ._hints import Initiation
from ._preset import AccessTokenJwt, LogoutPage, Preset, RedirectRules, filled, issuer_of, known_members, words_for
from ._tenant import TenantHosts

__all__ = ["PRESETS", "Preset", "filled", "issuer_of", "known_members", "words_for"]

_CALLBACKS = (
    "If the service showed an error page of its own, it does not know this `client_id`, or not where to send the "
    "browser back to: register the redirect URI among the {place}, to the letter; `jupyter nativeauth doctor` has it."
)
_AUTH0_NATIVE = (
    "At Auth0, the application must be Native, and its Authentication Method None (Applications > the application > "
    "Credentials)."
)
# https://docs.scalekit.com/sso/reference/sso-integration-errors/
_SCALEKIT_SSO = {
    "invalid_redirect_uri": "Scalekit does not know this redirect URI: add it to the Allowed Callback URLs.",
    "invalid_connection_selector": "Scalekit has to know whose sign-in it is: set `organization`, `connection`, "
    "`domain_hint` or `login_hint` in nativeauth.toml.",
    "no_active_connections": "The organization has no connection that is switched on.",
    "connection_not_active": "The connection is not switched on. Check `connection` in nativeauth.toml, or ask an "
    "administrator.",
    "no_configured_connections": "The organization has no connection that is set up.",
    "invalid_organization_id": "Scalekit does not know this organization. Check `organization`, org_..., in "
    "nativeauth.toml.",
    "invalid_connection_id": "Scalekit does not know this connection. Check `connection` in nativeauth.toml: conn_...",
    "domain_not_found": "No organization has this domain. Check `domain_hint` in nativeauth.toml.",
    "invalid_user_domain": "Your address is of a domain that this organization does not allow.",
    "invalid_client": "Scalekit does not know this client. Copy `client_id` from the same environment as "
    "`environment_url`.",
    "application_not_active": "The application is switched off at Scalekit.",
    "unauthorized": "You may not sign in to this application. Ask an administrator of your organization.",
    "user_not_active": "Your account is switched off. Ask an administrator of your organization.",
    "mandatory_attribute_missing": "Your identity provider leaves out something that Scalekit needs. Ask an "
    "administrator to complete the attribute mapping.",
    "invalid_id_token": "Your identity provider's answer cannot be believed. Ask an administrator to check the "
    "connection.",
    "failed_to_exchange_token": "Scalekit could not redeem your identity provider's answer. Ask an administrator to "
    "check the connection's client id and secret.",
    "user_info_retrieve_failed": "Your identity provider did not say who you are. Ask an administrator to check the "
    "connection's scopes.",
    "invalid_saml_*": "Your identity provider's SAML message is wrong. Ask an administrator to check the connection.",
    "signature_validation_failed": "The signature of your identity provider's answer is wrong. Ask an administrator to "
    "renew the connection's certificate.",
    "*_expired": "Your identity provider's answer came too late. Try again; if it stays so, its clock is wrong.",
    "authentication_not_completed": "You did not finish at your identity provider. Try again.",
    "user_login_required": "Your identity provider wants you to sign in there first. Try again.",
}

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "oidc": Preset(
            label="OpenID Connect",
            needs=("issuer",),
            console=(
                "Register a native (public) client, which has no secret.",
                "Its redirect URIs: {redirect_uris}",
                "Its post-logout redirect URIs: {logout_uris}",
            ),
        ),
        # https://auth0.com/docs/get-started/authentication-and-authorization-flow/authorization-code-flow-with-pkce
        "auth0": Preset(
            label="Auth0",
            needs=("domain",),
            issuer="{domain}/",  # with its slash, custom domains too
            endpoints={
                "revocation_endpoint": "{domain}/oauth/revoke",
                "device_authorization_endpoint": "{domain}/oauth/device/code",
            },
            # The metadata names /oidc/logout only where the tenant's "RP-Initiated Logout End Session Endpoint
            # Discovery" is on, as it is for tenants since 14 November 2023.
            end_session=LogoutPage(
                "{domain}/v2/logout", {"client_id": "client_id", "post_logout_redirect_uri": "returnTo"}
            ),
            parameters={"invitation": "invitation"},  # a link that Auth0 mails brings it along
            initiation=Initiation(
                {name: name for name in ("invitation", "organization", "organization_name", "login_hint")}
            ),
            offline_access="always",  # it is in the metadata of every tenant, and may be asked for in any case
            offline_access_prompt="",  # Auth0 asks for consent where it needs it
            # "Measures against application impersonation": the confirmation page for such redirect URIs, for all
            # tenants since 28 April 2026 unless they opted out, needs somebody to look at it.
            refused_prompts={"none": "Auth0 asks for a confirmation before it sends a browser to this machine"},
            # "Callback URL mismatch. http://127.0.0.1:60005/ is not in the list of allowed callback URLs."
            redirect=RedirectRules(exact_port=True, ports=(8888, 8889, 8890)),
            callback_words={
                "access_denied: Service not found*": "Auth0 has no API with this audience. Compare `audience` in "
                "nativeauth.toml with the API's identifier (Applications > APIs), to the letter.",
                # The words of these three are unconfirmed.
                "*: *invitation*": "The invitation is over, or was used before. Ask for a new one.",
                "*: *not part of*organization*": "You are no member of this organization. Choose another account, or "
                "ask its administrator (Organizations > Members).",
                "*: *organization*": "Check `organization` in nativeauth.toml, and the application's own settings "
                "(Applications > the application > Organizations).",
                "unauthorized_client*": "Check the application's grant types (Settings > Advanced): Authorization Code "
                "and Refresh Token; and that `connection` is on for it.",
            },
            restart_once=("login_required", "consent_required", "interaction_required", "account_selection_required"),
            lost_words=_CALLBACKS.format(place="Allowed Callback URLs (Applications > the application > Settings)"),
            token_words={
                # The application wants a secret: 401 "Unauthorized".
                "access_denied": _AUTH0_NATIVE,
                "invalid_client": _AUTH0_NATIVE,
                "unauthorized_client": "Allow the application the grant types Authorization Code and Refresh Token, "
                'and for flow = "device" Device Code (Applications > the application > Settings > Advanced).',
            },
            # An id begins so; a name has no capitals. ("Work with Tokens and Organizations")
            organization_claims=(("org_id", "org_"), ("org_name", "")),
            no_offline_words="Auth0 gave no refresh token: the API must allow offline access (Applications > APIs > "
            "the API > Settings > Allow Offline Access), and the application the grant type Refresh Token.",
            no_audience_words="Without `audience` Auth0 gives an opaque access token, which only its own /userinfo "
            "takes. Set `audience` in nativeauth.toml to the identifier of the API (Applications > APIs).",
            rate_limit_reset="X-RateLimit-Reset",
            console=(
                "Applications > Create Application > Native.",
                "Credentials > Authentication Method: None.",
                "Settings > Allowed Callback URLs, to the letter: {redirect_uris}",
                "Settings > Allowed Logout URLs: {logout_uris}",
                'Settings > Advanced > Grant Types: Authorization Code, Refresh Token; Device Code if flow = "device".',
                "Applications > APIs > the API > Settings > Allow Offline Access: on.",
                "For invitations only: Settings > Application Login URI, which must be https: {initiate_uri}",
            ),
        ),
        # https://jupyterhub.readthedocs.io/en/stable/reference/authenticators.html, "Authentication state"
        "jupyterhub": Preset(
            label="JupyterHub",
            needs=(),
            issuer="",
            lender="JupyterHub",
            discovery="none",
            renewable=False,
            console=(
                "In jupyterhub_config.py: c.Authenticator.enable_auth_state = True, and JUPYTERHUB_CRYPT_KEY.",
                "The scope admin:auth_state!user for the roles user and server (docs/jupyterhub.md).",
            ),
        ),
        # https://docs.scalekit.com/authenticate/fsa/multiapp/native-app/
        "scalekit": Preset(
            label="Scalekit",
            needs=("environment_url",),
            takes=("identity_provider", "domain_hint"),
            issuer="{environment_url}",
            discovery="optional",
            endpoints={
                "authorization_endpoint": "{environment_url}/oauth/authorize",
                "token_endpoint": "{environment_url}/oauth/token",
                "jwks_uri": "{environment_url}/keys",
                "end_session_endpoint": "{environment_url}/oidc/logout",
            },
            userinfo=False,  # "do not call /userinfo": the claims are in the ID token
            revokes=False,  # the endpoint wants a secret, and answers a native client with invalid_client
            parameters={
                "organization": "organization_id",
                "connection": "connection_id",
                "identity_provider": "provider",  # google, microsoft, github ...; the profile's `provider` is scalekit
                # The documents say the one, the SDKs send the other; an unknown one is ignored (RFC 6749, section 3.1).
                "domain_hint": "domain domain_hint",
            },
            # "IdP-initiated SSO": the sign-in begins at an identity provider, and the service signs what it wants.
            initiation=Initiation(
                {"organization_id": "organization", "connection_id": "connection", "login_hint": "login_hint"},
                signed="idp_initiated_login",
            ),
            offline_access="always",
            offline_access_prompt="",
            # "Redirects": in production neither http nor localhost, says one page; the page on native apps recommends
            # http://127.0.0.1. Which of them is right is unconfirmed; so is whether the port may vary.
            redirect=RedirectRules(
                exact_port=True,
                ports=(8888, 8889, 8890),
                longest=256,
                http_at=("https://*.scalekit.dev", "http://*"),
                http_words="Scalekit may refuse http redirect URIs in a production environment. If it does, use an "
                "https address of your Jupyter as `redirect_uri`.",
            ),
            callback_words=_SCALEKIT_SSO,
            lost_words=_CALLBACKS.format(place="Allowed Callback URLs (Authentication > Redirects)"),
            token_words={
                "invalid_client": "Register a native application: it needs no secret. And copy `client_id` from the "
                "same environment as `environment_url`.",
            },
            access_token_jwt=AccessTokenJwt(),  # "Validate access tokens by verifying ..."
            organization_claims=(("oid", "org_"),),
            over_words={
                "expired": "Scalekit ends a session that was idle for too long, or that was ended in another "
                "application.",
            },
            console=(
                "Applications > Create Application > Native.",
                "Authentication > Redirects > Allowed Callback URLs, to the letter: {redirect_uris}",
                "Authentication > Redirects > Post logout URLs: {logout_uris}",
                "Authentication > Redirects > Initiate Login URL: {initiate_uri}",
                "The session's idle timeout must be longer than the life of an access token.",
            ),
        ),
        # https://docs.wristband.dev, and the SDKs express-auth, go-auth, python-jwt, ios-demo-app of its developers
        "wristband": Preset(
            label="Wristband",
            needs=("application_domain",),
            takes=(
                *("tenant_name", "tenant_custom_domain", "tenant_custom_domains"),
                *("tenant_separator", "tenant_discovery"),
            ),
            client_types=("native", "confidential"),  # its "Native" and "Backend Server"
            issuer="{application_domain}",  # never a tenant's host ("JWTs and Signing Keys")
            discovery="none",  # no page and no SDK names a document (unconfirmed that there is none)
            endpoints={
                "authorization_endpoint": "{application_domain}/api/v1/oauth2/authorize",
                "token_endpoint": "{application_domain}/api/v1/oauth2/token",
                "jwks_uri": "{application_domain}/api/v1/oauth2/jwks",
                "userinfo_endpoint": "{application_domain}/api/v1/oauth2/userinfo",
                "revocation_endpoint": "{application_domain}/api/v1/oauth2/revoke",
            },
            # The session's cookie belongs to the tenant's host: a logout elsewhere does nothing (reference, "Logout").
            end_session=LogoutPage(
                "{application_domain}/api/v1/logout",
                {"client_id": "client_id", "post_logout_redirect_uri": "redirect_url", "state": "state"},
            ),
            tenants=TenantHosts(
                application="application_domain",
                moved=("authorization_endpoint", "end_session_endpoint"),
                login_page="{application_domain}/login",
                # The nearest thing to discovery; all SDKs fetch it.
                configuration="{application_domain}/api/v1/clients/{client_id}/sdk-configuration",
                active="isApplicationCustomDomainActive",
                redirect_uri="redirectUri",
                own_login_page="customApplicationLoginPageUrl",
                separators=("-", "."),
                names=("tenant_name", "tenant_domain"),  # renamed at the beginning of 2026
                domain="tenant_custom_domain",
            ),
            # Invitations, sign-ups and people who picked their tenant lead to the client's "Login URL".
            initiation=Initiation(
                {
                    "tenant_name": "tenant_name",
                    "tenant_domain": "tenant_name",
                    "tenant_custom_domain": "tenant_custom_domain",
                    "login_hint": "login_hint",
                }
            ),
            offline_access="always",  # a scope of its own, that nothing lists
            offline_access_prompt="",  # only `none` and `login` are known (reference, "Authorize")
            # Whether another port than the registered one is taken is unconfirmed, so it is not relied on.
            redirect=RedirectRules(
                exact_port=True,
                ports=(8888, 8889, 8890),
                http_at=("http://*",),
                http_words='Wristband refuses http while "Enable Production Environment Validations" is on in the '
                "application's settings. Turn it off, or use an https address of your Jupyter as `redirect_uri`.",
            ),
            # After `max_age` has run out, or without a session for `prompt = "none"` (express-auth, README).
            restart_once=("login_required",),
            lost_words="If the browser is on an error page: check `application_domain`, `client_id` and `tenant_name` "
            "in nativeauth.toml, and the client's Callback URLs in the Wristband dashboard. `jupyter nativeauth "
            "doctor` prints what must stand there.",
            token_words={
                "invalid_client": "A client of type Native has no secret: leave out `client_type`. For a Backend "
                'Server write client_type = "confidential" into the profile, and run `jupyter nativeauth secret set`.',
            },
            over_words={"expired": "Wristband ended the session, or an administrator did."},
            console=(
                "Application > OAuth2 Clients > Add Client: Native (or Backend Server, with a secret).",
                "Callback URLs, to the letter: {redirect_uris}",
                "Login URL, for invitations, and if the profile names no tenant: {initiate_uri}",
                'Application settings > "Enable Production Environment Validations": off, for http addresses.',
            ),
        ),
        # https://docs.xaman.dev, and the source of the provider: github.com/XRPL-Labs/XUMM-OAuth2-OpenID-Provider
        "xumm": Preset(
            label="Xaman (Xumm)",
            needs=(),
            takes=("issuer", "force_network", "signers", "insecure_implicit_flow"),
            defaults={"issuer": "https://oauth2.xumm.app"},  # unconfirmed, as all of its metadata
            api=("https://xumm.app", "{issuer}"),
            discovery="optional",
            endpoints={
                "authorization_endpoint": "{issuer}/auth",
                "token_endpoint": "{issuer}/token",
                "jwks_uri": "{issuer}/certs",
                "userinfo_endpoint": "{issuer}/userinfo",
            },
            parameters={"force_network": "force_network", "signers": "signers"},
            default_scopes=("openid",),  # free text to the service, which only looks for this word
            offline_access="never",
            offline_access_prompt="",
            refused_scopes={
                "xummpkce": "with it, the answer goes to a popup of Xumm's own JavaScript, and never comes back here"
            },
            # The beginning is compared, as text: without a port and a path, http://127.0.0.1.evil.example would fit.
            redirect=RedirectRules(exact_port=True, ports=(8888, 8889, 8890)),
            code_names=("code", "authorization_code"),  # both are sent, with the same value
            callback_words={"access_denied": "You rejected the sign-in on your phone, or somebody else did."},
            lost_words="Nobody signed on the phone: Xaman's page then leads nowhere. If the browser is on a page that "
            'says "Invalid client/redirect URL", register the redirect URI at apps.xumm.dev with its port and path, '
            "and compare `client_id` with the API Key there. `jupyter nativeauth doctor` prints what must stand there.",
            # Never invalid_grant: everything that is wrong with a code or a client is access_denied.
            token_words={
                "access_denied: Invalid client credentials*": "A client without a secret needs both PKCE and the "
                "implicit flow to be allowed for the application at apps.xumm.dev.",
                "access_denied: Redirect URL*": "Register the redirect URI at apps.xumm.dev with its port and path.",
                "access_denied": "Sign in again.",
            },
            # It guesses by the headers whether a program asks, and answers what it takes for a browser with a page.
            error_page=r"Error: *(?P<error>[a-z_]{1,40})\s*</div>\s*<div[^<>]{0,200}>(?P<description>[^<>]{0,300})<",
            identity_from="access_token",  # a JWT, and the same string as the ID token
            false_claims=("email",),  # made up of the client id and the account
            renewable=False,
            over_words=dict.fromkeys(
                ("no_refresh_token", "expired", "refused"),
                "Xaman's logins last a day and cannot be renewed: sign again on your phone.",
            ),
            rejections=("jwt_auth_error", "813"),  # at /userinfo, and at the API
            sign_requests="/api/v1/jwt/payload",
            console=(
                "apps.xumm.dev > the application > API Key: this is `client_id`. The API Secret is not for notebooks.",
                "Redirect URIs, one a line, with port and path: {redirect_uris}",
                "PKCE and the implicit flow: allowed. A client without a secret needs both.",  # names unconfirmed
            ),
        ),
    }
)
