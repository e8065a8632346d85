"""Patches of how moto checks calls once IAM is enforced."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from dryrun.moto_patching import replace


def apply() -> None:
    """Applies all of them."""
    resource_of_a_call()
    refusals_in_json()
    service_principals()
    signed_queries()


def resource_of_a_call() -> None:
    """With IAM enforced, moto checks a call against the resource `*`, which a policy for one secret never matches.

    Secrets Manager's calls name their secret, by ARN or by name.
    """
    from moto.core.authorization import ActionAuthenticatorMixin
    from moto.secretsmanager.models import secretsmanager_backends

    def with_resource(original: Any) -> Any:
        def authorize(self: Any, resource: str = "*") -> None:
            if resource == "*" and self.service_name == "secretsmanager":
                wanted = secret_of(self.body)
                secrets = secretsmanager_backends[self.current_account][self.region].secrets
                if wanted is not None:
                    resource = secrets[wanted].arn if wanted in secrets else wanted
            original(self, resource)

        return authorize

    replace(ActionAuthenticatorMixin, "_authenticate_and_authorize_normal_action", with_resource)


def refusals_in_json() -> None:
    """A refused call is answered in XML with status 403, whatever the service speaks.

    A client of a service that speaks JSON (Secrets Manager, SSM) expects AWS's JSON error with status 400, and looks
    for its type there.
    """
    from moto.core.authorization import ActionAuthenticatorMixin
    from moto.core.exceptions import (
        AccessDeniedError,
        InvalidClientTokenIdError,
        JsonRESTError,
        SignatureDoesNotMatchError,
    )

    def in_json(original: Any) -> Any:
        def authorize(self: Any, resource: str = "*") -> None:
            try:
                original(self, resource)
            except (AccessDeniedError, InvalidClientTokenIdError, SignatureDoesNotMatchError) as problem:
                if "X-Amz-Target" not in self.headers:
                    raise
                raise JsonRESTError(JSON_ERROR_TYPES[problem.error_type], problem.message) from None

        return authorize

    replace(ActionAuthenticatorMixin, "_authenticate_and_authorize_normal_action", in_json)


# The query protocol's error code -> what the JSON protocols call it.
JSON_ERROR_TYPES = {
    "AccessDenied": "AccessDeniedException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}


def secret_of(body: str | bytes | None) -> str | None:
    """The secret that a call's body names, or None where it names none."""
    try:
        content = json.loads(body or "{}")
    except ValueError:
        return None
    wanted = content.get("SecretId") if isinstance(content, dict) else None
    return wanted if isinstance(wanted, str) else None


def service_principals() -> None:
    """A role's trust policy that names a service makes moto fail: it looks for the principal among AWS accounts only.

    The edge calls AssumeRole as a user whose name is the service's (iam.py); it is compared with `Service` here.
    """
    from moto.iam.access_control import IAMPolicyStatement

    def with_services(original: Any) -> Any:
        def check_principal(self: Any, principal: str) -> bool:
            return trusts(self._statement.get("Principal"), principal, lambda: original(self, principal))

        return check_principal

    replace(IAMPolicyStatement, "_check_principal", with_services)


def trusts(expected: Any, caller: str, among_accounts: Callable[[], bool]) -> bool:
    """Whether a trust policy's principal lets `caller` (an ARN) in; `among_accounts` is moto's own comparison."""
    if not isinstance(expected, dict) or "AWS" in expected:
        return among_accounts()
    services = expected.get("Service", [])
    return caller.rsplit("/", 1)[-1] in ([services] if isinstance(services, str) else services)


def signed_queries() -> None:
    """A signature over a query with a slash in it is refused: moto looks at the query as its web server decoded it.

    Terraform lists the versions of `apt/...` when it deletes an object. What was signed is the encoded query.
    """
    from moto.iam.access_control import IAMRequestBase

    def with_query(original: Any) -> Any:
        def init(self: Any, *arguments: Any, **options: Any) -> None:
            original(self, *arguments, **options)
            self._path = with_encoded_query(self._path)

        return init

    replace(IAMRequestBase, "__init__", with_query)


def with_encoded_query(path: str) -> str:
    """The path with its query encoded as AWS's signatures want it: all but letters, digits and `-_.~`."""
    bare, mark, query = path.partition("?")
    pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)
    return bare + mark + urlencode(pairs, quote_via=quote, safe="-_.~")
