"""What the matrix expects, cell by cell where it matters, and how it shows what it saw."""

import unittest

from dryrun import matrix
from dryrun.matrix import Cell, Cidrs, Node

PUBLIC = [Node(role, f"10.0.1.{11 + i}", f"54.0.0.{11 + i}") for i, role in enumerate(matrix.LISTENING)]
PRIVATE = [Node(role, f"10.0.2.{11 + i}", None) for i, role in enumerate(matrix.LISTENING)]
CIDRS = Cidrs("203.0.113.0/24", "203.0.113.10/32")


def wanted(nodes, cidrs=CIDRS):
    return {cell for cell in matrix.cells(nodes) if matrix.expected(cell, nodes, cidrs)}


class Cells(unittest.TestCase):
    def test_numbers(self):
        self.assertEqual(len(matrix.cells(PUBLIC)), 468)
        self.assertEqual(len(matrix.cells(PRIVATE)), 312)


class Expected(unittest.TestCase):
    def test_machines_among_themselves(self):
        among = {(c.source, c.target, c.port) for c in wanted(PUBLIC) if c.source not in matrix.OUTSIDE}
        self.assertEqual(
            among,
            {(role, "log-store", 3100) for role in ("app", "metrics-store", "grafana")}
            | {("metrics-store", "app", port) for port in (5000, 8080, 8081, 8082, 8083)}
            | {("metrics-store", role, 12345) for role in ("app", "log-store", "grafana")}
            | {("metrics-store", "grafana", 3000), ("grafana", "metrics-store", 9090)},
        )

    def test_from_outside(self):
        users = {(c.target, c.port) for c in wanted(PUBLIC) if c.source == "user"}
        self.assertEqual(
            users,
            {("app", port) for port in (5000, 8080, 8081, 8082, 8083)} | {("metrics-store", 9090), ("grafana", 3000)},
        )
        admins = {(c.target, c.port) for c in wanted(PUBLIC) if c.source == "admin"}
        self.assertEqual(admins, users | {(role, 22) for role in matrix.LISTENING})
        self.assertFalse([c for c in wanted(PUBLIC) if c.source == "stranger"])

    def test_private_addresses_are_never_reached_from_outside(self):
        self.assertFalse([c for c in wanted(PUBLIC) if c.source in matrix.OUTSIDE and not c.public])
        self.assertFalse([c for c in wanted(PRIVATE) if c.source in matrix.OUTSIDE])

    def test_without_an_ssh_network_no_port_22(self):
        self.assertFalse([c for c in wanted(PUBLIC, Cidrs("203.0.113.0/24", None)) if c.port == 22])


class Judgement(unittest.TestCase):
    def test_blocked_means_silence(self):
        cell = Cell("user", "app", True, 22)
        self.assertEqual(
            [matrix.judge(cell, False, seen) for seen in ("silent", "refused", "open")], [True, False, False]
        )

    def test_a_daemon_that_should_listen_must_accept(self):
        cell = Cell("user", "app", True, 5000)
        self.assertEqual(
            [matrix.judge(cell, True, seen) for seen in ("open", "refused", "silent")], [True, False, False]
        )

    def test_a_port_of_a_later_release_may_refuse(self):
        cell = Cell("user", "app", True, 8080)
        self.assertEqual(
            [matrix.judge(cell, True, seen) for seen in ("open", "refused", "silent")], [True, True, False]
        )


class Table(unittest.TestCase):
    def test_a_wrong_cell_shows_what_came(self):
        cells = {cell: matrix.expected(cell, PUBLIC, CIDRS) for cell in matrix.cells(PUBLIC)}
        seen = {cell: "open" if wanted else "silent" for cell, wanted in cells.items()}
        good = matrix.Matrix(PUBLIC, cells, dict(seen))
        self.assertEqual(good.wrong, [])
        self.assertNotIn("!", "\n".join(good.table()))

        leak = Cell("user", "log-store", True, 3100)
        bad = matrix.Matrix(PUBLIC, cells, seen | {leak: "open"})
        self.assertEqual(bad.wrong, [leak])
        row = next(line for line in bad.table() if line.startswith("user") and "log-store " in line)
        self.assertEqual(row.split()[2 + matrix.PORTS.index(3100)], "!ope")


if __name__ == "__main__":
    unittest.main()
