"""IMDSv2's tokens: who gets one, for whom it is good, and when it ends."""

from __future__ import annotations

import unittest
from unittest import mock

from dryrun import edge_tokens
from dryrun.edge_tokens import TOKEN_HEADER, TTL_HEADER, TokenRefused, Tokens

ADDRESS, INSTANCE = "10.0.1.14", "i-1"


class IssueAndUse(unittest.TestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.tokens = Tokens(clock=lambda: self.now)

    def issue(self, ttl: str = "60", address: str = ADDRESS, instance: str = INSTANCE, **headers: str) -> str:
        return self.tokens.issue(address, instance, {TTL_HEADER: ttl, **headers})[0]

    def permits(
        self, token: str | None, address: str = ADDRESS, instance: str = INSTANCE, agent: str = "curl/7"
    ) -> bool:
        headers = {"User-Agent": agent} | ({TOKEN_HEADER: token} if token is not None else {})
        return self.tokens.permits(address, instance, headers, required=True)

    def test_a_token_is_good_for_its_owner_until_its_end(self) -> None:
        token = self.issue("60")
        self.assertTrue(self.permits(token))
        self.now += 59
        self.assertTrue(self.permits(token))
        self.now += 1
        self.assertFalse(self.permits(token))

    def test_a_token_is_bound_to_address_and_instance(self) -> None:
        token = self.issue()
        self.assertFalse(self.permits(token, address="10.0.1.12"))
        self.assertFalse(self.permits(token, instance="i-2"), "the successor at the same address")

    def test_none_and_nonsense(self) -> None:
        for token in (None, "", "x", self.issue()[:-1]):
            self.assertFalse(self.permits(token), token)

    def test_cloud_init_needs_none_and_only_cloud_init(self) -> None:
        self.assertTrue(self.permits(None, agent="Cloud-Init/22.4.2"))
        self.assertTrue(self.permits(None, agent="python-requests/2.28"))
        self.assertFalse(self.permits(None, agent="curl/7 Cloud-Init"))
        self.assertFalse(self.permits("wrong", agent="Cloud-Init/22.4.2"), "a token that is sent has to be good")

    def test_optional_tokens(self) -> None:
        self.assertTrue(self.tokens.permits(ADDRESS, INSTANCE, {}, required=False))
        self.assertFalse(self.tokens.permits(ADDRESS, INSTANCE, {TOKEN_HEADER: "wrong"}, required=False))

    def test_lifetimes(self) -> None:
        for ttl in ("1", "21600"):
            self.assertEqual(self.tokens.issue(ADDRESS, INSTANCE, {TTL_HEADER: ttl})[1], int(ttl))
        for ttl in ("0", "21601", "-5", "", "an hour", "1.5"):
            with self.subTest(ttl), self.assertRaises(TokenRefused) as caught:
                self.issue(ttl)
            self.assertEqual(caught.exception.status, 400)

    def test_no_lifetime_and_no_forwarding(self) -> None:
        with self.assertRaises(TokenRefused) as caught:
            self.tokens.issue(ADDRESS, INSTANCE, {})
        self.assertEqual(caught.exception.status, 400)
        with self.assertRaises(TokenRefused) as caught:
            self.issue(**{"X-Forwarded-For": "10.0.1.12"})
        self.assertEqual(caught.exception.status, 403)

    def test_tokens_are_bounded_and_the_oldest_go_first(self) -> None:
        with mock.patch.object(edge_tokens, "MAX_TOKENS", 3):
            tokens = [self.issue() for _ in range(5)]
        self.assertEqual([self.permits(token) for token in tokens], [False, False, True, True, True])


if __name__ == "__main__":
    unittest.main()
