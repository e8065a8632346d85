"""Evaluates a bucket policy for one request, as far as Cairn's policies go; anything beyond is an error, never a guess.

Pure: a policy and a request in, a decision out. Rules as in AWS's policy evaluation: an explicit Deny wins, then an
Allow, else nothing was said (which for an unsigned request means no).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

# What a statement may consist of. A statement with anything else (NotAction, NotPrincipal ...) cannot be judged here.
_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}


class PolicyError(Exception):
    """The policy says something that this evaluator does not know; the request has to be refused."""


class Decision(Enum):
    """What a policy says about a request."""

    ALLOW = "allow"
    DENY = "deny"
    SILENT = "silent"


@dataclass(frozen=True)
class Request:
    """One request by nobody in particular (unsigned): what it wants to do to what, and how it came."""

    action: str
    resource: str
    context: Mapping[str, str]
    """Condition keys by lower-case name (`aws:sourcevpce`). A key that does not apply to the request is absent."""


def evaluate(policy: Mapping[str, Any], request: Request) -> Decision:
    """The policy's decision. Raises PolicyError if any statement cannot be judged, whatever the others say."""
    decision = Decision.SILENT
    for statement in _listed(policy.get("Statement", [])):
        unknown = set(statement) - _ELEMENTS
        if unknown:
            raise PolicyError(f"statement {statement.get('Sid', '?')!r}: cannot judge {', '.join(sorted(unknown))}")
        applies = (
            _is_everybody(statement.get("Principal"))
            and any(_like(one, request.action, ignore_case=True) for one in _listed(statement.get("Action", [])))
            and any(_like(one, request.resource) for one in _listed(statement.get("Resource", [])))
        )
        # Judged before it is known to matter: a condition with a typo has to show at the first request.
        holds = _conditions_hold(statement.get("Condition", {}), request.context)
        if not (applies and holds):
            continue
        if statement.get("Effect") == "Deny":
            return Decision.DENY
        if statement.get("Effect") != "Allow":
            raise PolicyError(f"Effect {statement.get('Effect')!r} is neither Allow nor Deny")
        decision = Decision.ALLOW
    return decision


def _is_everybody(principal: Any) -> bool:
    return principal == "*" or (isinstance(principal, Mapping) and "*" in _listed(principal.get("AWS", [])))


def _conditions_hold(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    """All operators and all keys have to hold; of a key's values one is enough (none, for the negated operators)."""
    results = []
    for operator, keys in conditions.items():
        if operator not in _OPERATORS:
            raise PolicyError(f"condition operator {operator!r} is not known here (known: {', '.join(_OPERATORS)})")
        matches, negated = _OPERATORS[operator]
        for key, values in keys.items():
            actual = context.get(key.lower())
            # A key that is absent matches no value: a positive operator fails, a negated one holds.
            hit = actual is not None and any(matches(str(value), actual) for value in _listed(values))
            results.append(hit != negated)
    return all(results)


def _like(pattern: str, text: str, ignore_case: bool = False) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None


def _in_network(network: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError as problem:
        raise PolicyError(f"IpAddress: {problem}") from None


# Name -> (comparison of the policy's value with the request's, whether the operator is the negation of it).
_OPERATORS: dict[str, tuple[Callable[[str, str], bool], bool]] = {
    "StringEquals": (lambda wanted, actual: wanted == actual, False),
    "StringNotEquals": (lambda wanted, actual: wanted == actual, True),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    "Bool": (lambda wanted, actual: wanted.lower() == actual.lower(), False),
    "IpAddress": (_in_network, False),
    "NotIpAddress": (_in_network, True),
}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
