"""scripts/check-provisioning: a right tree passes, and each wrong thing is one finding with file and path."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import provisioning_example as example
from provisioning import expand, tree

ROOT = Path(__file__).parents[2]
REMOVED = object()


def steps(path: str) -> list[str | int]:
    """`a[0].b` as steps."""
    return [int(number) if number else word for word, number in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)]


def put(document: Any, path: str, value: Any) -> None:
    """Sets, adds or removes what lies at a path that exists but for its last step."""
    *way, last = steps(path)
    for step in way:
        document = document[step]
    if value is REMOVED:
        del document[last]
    elif isinstance(document, list) and last == len(document):
        document.append(value)
    else:
        document[last] = value


class Tree(unittest.TestCase):
    """What the checks have in common."""

    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="cairn-provisioning-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.documents = example.documents()

    def found(self, environment: dict[str, str] = example.ENVIRONMENT) -> list[str]:
        """The findings as lines."""
        shutil.rmtree(self.root)
        example.write(self.root, self.documents)
        return [str(finding) for finding in tree.check(self.root, environment)[0]]

    def one(self, file: str, path: str, value: Any, said: str, at: str | None = None) -> None:
        """One change of the right tree gives one finding, at the changed place or at `at`."""
        with self.subTest(file=file, path=path, value="removed" if value is REMOVED else value):
            self.documents = example.documents()
            put(self.documents[file], path, value)
            found = self.found()
            self.assertEqual(len(found), 1, found)
            where = f"{example.FILES[file]}: {path if at is None else at}: "
            self.assertTrue(found[0].startswith(where), f"{found[0]!r} instead of {where!r}")
            self.assertIn(said, found[0].removeprefix(where))


class Right(Tree):
    def test_the_example_is_right(self) -> None:
        self.assertEqual(self.found(), [])

    def test_what_we_ship_is_right(self) -> None:
        result = subprocess.run([ROOT / "scripts/check-provisioning"], capture_output=True, text=True, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(
            result.stdout, r"nothing wrong \(2 data sources, \d+ dashboards, \d+ panels, \d+ alert rules\)"
        )

    def test_the_command_says_what_is_wrong_and_fails(self) -> None:
        put(self.documents["datasources"], "datasources[0].acces", "proxy")
        example.write(self.root, self.documents)
        (self.root / "50-cairn.conf").write_text("[Service]\nEnvironment=METRICS_URL=http://127.0.0.1:9090\n")
        command = [ROOT / "scripts/check-provisioning", self.root, "--environment", "SLACK_URL=http://x/"]
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        self.assertEqual(result.returncode, 1)
        self.assertIn("provisioning/datasources/all.yaml: datasources[0].acces: unknown key", result.stderr)
        self.assertIn("error: 1 things are wrong", result.stderr)

    def test_a_folder_without_provisioning_is_a_wrong_call(self) -> None:
        result = subprocess.run(
            [ROOT / "scripts/check-provisioning", self.root], capture_output=True, text=True, check=False
        )
        self.assertEqual(result.returncode, 64)
        self.assertIn("holds no provisioning/", result.stderr)


class NeededKeys(Tree):
    def test_each_one_removed(self) -> None:
        source = "datasources[{}].{}"
        for path in (
            "apiVersion",
            *(source.format(2, key) for key in ("name", "url", "jsonData", "secureJsonData")),
            *(source.format(2, key) for key in ("jsonData.database", "jsonData.sslmode", "secureJsonData.password")),
            "deleteDatasources[0].name",
            "datasources[0].jsonData.exemplarTraceIdDestinations[0].name",
            *(f"datasources[1].jsonData.derivedFields[0].{key}" for key in ("name", "matcherRegex")),
            *(f"datasources[1].correlations[0].{key}" for key in ("label", "description", "type", "config")),
            *(f"datasources[1].correlations[0].config.{key}" for key in ("field", "target")),
        ):
            self.one("datasources", path, REMOVED, "is missing")
        for path in ("apiVersion", "providers[0].name"):
            self.one("providers", path, REMOVED, "is missing")
        for path in ("title", "schemaVersion", "time", "time.from", "time.to"):
            self.one("dashboard", path, REMOVED, "is missing")

    def test_a_source_without_type(self) -> None:
        del self.documents["alerting"]["groups"][0]["rules"][1]["data"][2]
        del self.documents["datasources"]["datasources"][2]["type"]
        self.assertEqual(self.found(), [f"{example.FILES['datasources']}: datasources[2].type: is missing"])

    def test_a_source_without_uid(self) -> None:
        # Nothing else in the example refers to it but a rule's query.
        del self.documents["alerting"]["groups"][0]["rules"][1]["data"][2]
        del self.documents["datasources"]["datasources"][2]["uid"]
        self.assertEqual(self.found(), [f"{example.FILES['datasources']}: datasources[2].uid: is missing"])

    def test_a_dashboard_without_uid(self) -> None:
        rule = self.documents["alerting"]["groups"][0]["rules"][0]
        del self.documents["dashboard"]["uid"], rule["dashboardUid"], rule["panelId"]
        self.assertEqual(self.found(), ["dashboards/board.json: uid: is missing"])

    def test_of_alerting(self) -> None:
        rule, two = "groups[0].rules[0]", "groups[0].rules[1]"
        reduce, threshold, resample, classic = (f"{rule}.data[{i}].model" for i in (1, 2, 4, 5))
        for path in (
            "apiVersion",
            "groups[0].name",
            "groups[0].folder",
            "groups[0].interval",
            f"{rule}.uid",
            f"{rule}.title",
            f"{rule}.condition",
            f"{two}.data[0].relativeTimeRange",
            f"{two}.data[0].relativeTimeRange.from",
            f"{two}.data[0].relativeTimeRange.to",
            f"{rule}.notification_settings.receiver",
            f"{reduce}.expression",
            f"{reduce}.reducer",
            f"{threshold}.expression",
            f"{threshold}.conditions",
            f"{threshold}.conditions[0].evaluator",
            f"{threshold}.conditions[0].evaluator.type",
            f"{rule}.data[3].model.expression",
            *(f"{resample}.{key}" for key in ("window", "downsampler", "upsampler")),
            f"{resample}.expression",
            *(f"{classic}.conditions[0].{key}" for key in ("evaluator", "operator", "query", "reducer")),
            f"{classic}.conditions[0].query.params",
            "groups[0].rules[2].record.metric",
            "deleteRules[0].uid",
            "contactPoints[0].receivers",
            "contactPoints[0].receivers[0].uid",
            "contactPoints[0].receivers[0].type",
            "contactPoints[0].receivers[0].settings",
            "contactPoints[0].receivers[0].settings.addresses",
            "contactPoints[0].receivers[2].settings.integrationKey",
            "contactPoints[0].receivers[3].settings.url",
            "policies[0].receiver",
            "templates[0].name",
            "templates[0].template",
            "muteTimes[0].time_intervals",
            "muteTimes[0].time_intervals[0].times[0].start_time",
        ):
            self.one("alerting", path, REMOVED, "is missing")
        self.one(
            "alerting",
            "contactPoints[0].receivers[1].settings.url",
            REMOVED,
            "url is needed, or token and recipient",
            at="contactPoints[0].receivers[1].settings",
        )


class Enums(Tree):
    def test_each_one_misspelt(self) -> None:
        for file, path, value in (
            ("datasources", "apiVersion", "1"),
            ("datasources", "datasources[0].access", "Proxy"),
            ("datasources", "datasources[0].jsonData.httpMethod", "post"),
            ("datasources", "datasources[0].jsonData.prometheusType", "prometheus"),
            ("datasources", "datasources[0].jsonData.cacheLevel", "low"),
            ("datasources", "datasources[0].jsonData.defaultEditor", "Code"),
            ("datasources", "datasources[1].jsonData.derivedFields[0].matcherType", "Label"),
            ("datasources", "datasources[1].correlations[0].type", "Query"),
            ("datasources", "datasources[2].jsonData.sslmode", "disabled"),
            ("datasources", "datasources[2].jsonData.postgresVersion", 15),
            ("providers", "providers[0].type", "File"),
            ("dashboard", "templating.list[2].type", "text"),
            ("dashboard", "panels[0].type", "timeserie"),
            ("dashboard", "panels[1].targets[0].queryType", "Range"),
            ("alerting", "groups[0].rules[0].noDataState", "ok"),
            ("alerting", "groups[0].rules[0].noDataState", "KeepLastState"),
            ("alerting", "groups[0].rules[0].execErrState", "no_data"),
            ("alerting", "groups[0].rules[0].data[1].model.reducer", "avg"),
            ("alerting", "groups[0].rules[0].data[1].model.settings.mode", "strict"),
            ("alerting", "groups[0].rules[0].data[2].model.type", "treshold"),
            ("alerting", "groups[0].rules[0].data[2].model.conditions[0].evaluator.type", "GT"),
            ("alerting", "groups[0].rules[0].data[4].model.downsampler", "median"),
            ("alerting", "groups[0].rules[0].data[4].model.upsampler", "fill"),
            ("alerting", "groups[0].rules[0].data[5].model.conditions[0].operator.type", "AND"),
            ("alerting", "groups[0].rules[0].data[5].model.conditions[0].reducer.type", "mean"),
            ("alerting", "groups[0].rules[1].data[2].model.format", "Table"),
            ("alerting", "contactPoints[0].receivers[0].type", "mail"),
            ("alerting", "contactPoints[0].receivers[2].settings.severity", "Critical"),
            ("alerting", "contactPoints[0].receivers[3].settings.httpMethod", "GET"),
        ):
            self.one(file, path, value, f"{value!r} is not one of ")


class UnknownKeys(Tree):
    def test_on_every_level(self) -> None:
        for file, path in (
            ("datasources", "dataSources"),
            ("datasources", "datasources[0].acces"),
            ("datasources", "datasources[0].jsonData.httpmethod"),
            ("datasources", "datasources[0].jsonData.derivedFields"),
            ("datasources", "datasources[0].secureJsonData.password"),
            ("datasources", "datasources[1].jsonData.derivedFields[0].urlDisplayName"),
            ("datasources", "deleteDatasources[0].uid"),
            ("providers", "providers[0].editable"),
            ("providers", "providers[0].options.folder"),
            ("dashboard", "templatng"),
            ("dashboard", "panels[0].datasource.name"),
            ("alerting", "rules"),
            ("alerting", "groups[0].every"),
            ("alerting", "groups[0].rules[0].noDatastate"),
            ("alerting", "groups[0].rules[0].data[0].range"),
            ("alerting", "groups[0].rules[0].data[0].relativeTimeRange.until"),
            ("alerting", "groups[0].rules[0].data[2].model.condition"),
            ("alerting", "contactPoints[0].receivers[0].settings.address"),
            ("alerting", "policies[0].routes[0].receivers"),
            ("alerting", "muteTimes[0].time_intervals[0].week_days"),
        ):
            self.one(file, path, "x", "unknown key")

    def test_a_wrong_case_is_recognised(self) -> None:
        self.one("datasources", "datasources[0].isdefault", True, "did you mean isDefault?")

    def test_a_key_that_is_there_twice(self) -> None:
        example.write(self.root, self.documents)
        path = self.root / example.FILES["providers"]
        path.write_text(path.read_text() + "apiVersion: 1\n")
        found = [str(finding) for finding in tree.check(self.root, example.ENVIRONMENT)[0]]
        self.assertIn("the key apiVersion is there twice", found[0])


class Together(Tree):
    """What a single value does not show."""

    def test_doubles(self) -> None:
        self.one("datasources", "datasources[1].isDefault", True, "the default of organisation 1 is taken already")
        self.one("datasources", "datasources[2].name", "Logs", "the name Logs is taken already")
        source = {"name": "Again", "uid": "logs", "type": "loki", "url": "http://127.0.0.1/"}
        self.one("datasources", "datasources[3]", source, "the uid logs is taken already", "datasources[3].uid")
        provider = {"name": "cairn", "options": {"path": "/usr/share/cairn-grafana/dashboards"}}
        self.documents["providers"]["providers"].append(provider)
        self.assertTrue(any("providers[1].name: the name 'cairn' is taken" in line for line in self.found()))
        self.one("dashboard", "panels[1].id", 1, "the panel id 1 is taken already")
        self.one("dashboard", "panels[2].panels[0].id", 2, "the panel id 2 is taken already")
        self.one("dashboard", "panels[0].targets[1].refId", "A", "the refId 'A' is taken already")
        self.one(
            "dashboard",
            "templating.list[3]",
            {"name": "job", "type": "textbox"},
            "the name 'job' is taken",
            "templating.list[3].name",
        )
        self.one("alerting", "groups[0].rules[1].uid", "rule-one", "the uid 'rule-one' is there already")
        self.one("alerting", "groups[0].rules[1].title", "One", "'One' is there already")
        self.one("alerting", "contactPoints[0].receivers[1].uid", "mail", "the uid 'mail' is taken already")
        tree_of_two = {"orgId": 1, "receiver": "people"}
        self.one("alerting", "policies[1]", tree_of_two, "is there already in organisation 1", "policies[1].orgId")

    def test_two_dashboards_with_one_uid_and_title(self) -> None:
        example.write(self.root, self.documents)
        shutil.copy(self.root / "dashboards/board.json", self.root / "dashboards/copy.json")
        found = [str(finding) for finding in tree.check(self.root, example.ENVIRONMENT)[0]]
        self.assertEqual(
            found,
            [f"dashboards/copy.json: {what}: is taken already, by dashboards/board.json" for what in ("uid", "title")],
        )

    def test_sources_that_do_not_exist(self) -> None:
        for file, path in (
            ("datasources", "datasources[0].jsonData.exemplarTraceIdDestinations[0].datasourceUid"),
            ("datasources", "datasources[1].jsonData.derivedFields[0].datasourceUid"),
            ("datasources", "datasources[1].correlations[0].targetUID"),
            ("dashboard", "panels[0].datasource.uid"),
            ("dashboard", "panels[0].targets[0].datasource.uid"),
            ("dashboard", "panels[2].panels[0].targets[0].datasource.uid"),
            ("dashboard", "templating.list[1].datasource.uid"),
            ("dashboard", "annotations.list[0].datasource.uid"),
            ("alerting", "groups[0].rules[0].data[0].datasourceUid"),
        ):
            self.one(file, path, "metrcs", "no data source has the uid")

    def test_references_of_the_wrong_kind(self) -> None:
        self.one("dashboard", "panels[0].datasource.type", "loki", "the data source metrics has the type prometheus")
        self.one("dashboard", "panels[0].datasource", "Metrics", "type and uid of the data source are wanted")
        self.one("dashboard", "panels[0].targets[1].datasource.uid", "$job", "is no variable of the type datasource")
        self.one("alerting", "policies[0].routes[0].receiver", "nobody", "no contact point is called 'nobody'")
        self.one("alerting", "groups[0].rules[0].notification_settings.receiver", "x", "no contact point is called 'x'")
        self.one("alerting", "policies[0].routes[0].mute_time_intervals[0]", "days", "no mute timing is called 'days'")
        self.one("alerting", "groups[0].rules[0].panelId", 9, "the dashboard board has no panel 9")

    def test_refs_of_a_rule(self) -> None:
        self.one("alerting", "groups[0].rules[0].condition", "Z", "'Z' is no refId of data")
        self.one("alerting", "groups[0].rules[2].record.from", "Z", "'Z' is no refId of data")
        self.one("alerting", "groups[0].rules[0].data[1].model.expression", "Z", "'Z' is no refId of data")
        self.one("alerting", "groups[0].rules[0].data[3].model.expression", "$Z > 1", "'Z' is no refId of data")
        self.one("alerting", "groups[0].rules[0].data[3].model.expression", "B > 1", "names no query")
        self.one("alerting", "groups[0].rules[0].data[2].model.expression", "A", "put a reduce before it")
        self.one(
            "alerting",
            "groups[0].rules[1].data[0].model.queryType",
            "range",
            "put a reduce before it",
            "groups[0].rules[1].data[1].model.expression",
        )
        self.one("alerting", "groups[0].rules[0].data[0].model.refId", "Q", "but the query is 'A'")
        self.one("alerting", "groups[0].rules[0].panelId", REMOVED, "go together", "groups[0].rules[0]")

    def test_a_window_that_ends_before_it_begins(self) -> None:
        for first, last in ((0, 300), (300, 300)):
            window = {"from": first, "to": last}
            self.one("alerting", "groups[0].rules[0].data[0].relativeTimeRange", window, "from must be the larger one")


class Values(Tree):
    def test_values_that_grafana_refuses_or_misreads(self) -> None:
        for file, path, value, said in (
            ("datasources", "datasources[0].isDefault", "yes", "true or false is wanted"),
            ("datasources", "datasources[0].orgId", 0, "out of bounds"),
            ("datasources", "datasources[0].url", "127.0.0.1:9090", "the URL of the store is wanted"),
            ("datasources", "datasources[0].url", "$NOWHERE", "the variable NOWHERE is set nowhere"),
            ("datasources", "datasources[0].jsonData.timeInterval", 10, "a duration is wanted"),
            ("datasources", "datasources[0].jsonData.timeout", "30", "a whole number is wanted"),
            ("datasources", "datasources[0].jsonData.httpHeaderName1", REMOVED, "go together"),
            ("datasources", "datasources[1].jsonData.derivedFields[0].matcherRegex", "no group", "one capture group"),
            ("datasources", "datasources[1].jsonData.derivedFields[0].matcherRegex", "(", "no regular expression"),
            ("datasources", "datasources[1].jsonData.derivedFields[0].url", "${__value.raw}", "set nowhere"),
            ("datasources", "datasources[2].url", "http://db:5432", "host:port is wanted"),
            ("providers", "providers[0].folderUid", "with space", "a uid is wanted"),
            ("providers", "providers[0].options.foldersFromFilesStructure", True, "must be empty"),
            ("alerting", "groups[0].rules[0].uid", "x" * 41, "a uid is wanted"),
            ("dashboard", "title", " ", "is empty"),
            ("dashboard", "id", 7, "7 is not one of None"),
            ("dashboard", "schemaVersion", 12, "out of bounds: 36 to 39"),
            ("dashboard", "__inputs", [], "imported by hand"),
            ("dashboard", "panels[0].type", "graph", "use timeseries"),
            ("dashboard", "panels[0].description", "", "is missing"),
            ("dashboard", "panels[0].fieldConfig.defaults.unit", REMOVED, "is missing"),
            ("dashboard", "panels[0].targets", [], "no query"),
            ("dashboard", "panels[0].targets[0].expr", "", "is empty"),
            ("dashboard", "panels[0].targets[0].expr", "x[$__rate_intervall]", "neither in templating.list"),
            ("dashboard", "panels[1].targets[0].expr", '{a="${hosts}"}', "the variable ${hosts} is neither"),
            ("alerting", "groups[0].interval", "15s", "no multiple of the scheduler's 10 s"),
            ("alerting", "groups[0].folder", "", "is empty"),
            ("alerting", "groups[0].rules[0].for", "soon", "a duration is wanted"),
            ("alerting", "groups[0].rules[0].labels.team", 1, "a text is wanted"),
            ("alerting", "groups[0].rules[0].labels.x", "$value", "the variable value is set nowhere"),
            ("alerting", "groups[0].rules[0].data[0].relativeTimeRange.from", "5m", "a whole number is wanted"),
            ("alerting", "groups[0].rules[0].data[2].model.conditions[0].evaluator.params", [1, 2], "takes 1 numbers"),
            ("alerting", "policies[0].routes[1].object_matchers[0][1]", "==", "is not one of =, !=, =~, !~"),
            ("alerting", "policies[0].matchers", ["a = b"], "not at the root of the tree"),
            ("alerting", "templates[0].template", "text", "defines nothing"),
            ("alerting", "muteTimes[0].time_intervals[0].years[0]", 2026, "years in quotes"),
            ("alerting", "muteTimes[0].time_intervals[0].times[0].end_time", "25:00", "a time HH:MM"),
        ):
            at = {
                "the URL of the store is wanted": None,
                "go together": "datasources[0]",
                "must be empty": "providers[0]",
                "is not one of =, !=, =~, !~": "policies[0].routes[1].object_matchers[0]",
            }.get(said, path)
            if value == "$NOWHERE":
                # The empty URL that comes of it is a second finding.
                self.documents = example.documents()
                put(self.documents[file], path, value)
                self.assertIn(said, self.found()[0])
            else:
                self.one(file, path, value, said, at)

    def test_two_thresholds(self) -> None:
        twice = [{"evaluator": {"type": "gt", "params": [1]}}] * 2
        self.one("alerting", "groups[0].rules[0].data[2].model.conditions", twice, "exactly one")

    def test_provisioning_that_nobody_reads(self) -> None:
        example.write(self.root, self.documents)
        for name in ("provisioning/alerting/x.txt", "dashboards/notes.md", "provisioning/datasources/x.json"):
            (self.root / name).write_text("{}")
        found = [str(finding) for finding in tree.check(self.root, example.ENVIRONMENT)[0]]
        self.assertEqual(len(found), 3, found)

    def test_files_that_cannot_be_read(self) -> None:
        example.write(self.root, self.documents)
        (self.root / "provisioning/datasources/a.yaml").write_text("a: [")
        (self.root / "dashboards/a.json").write_text("{")
        found = [str(finding) for finding in tree.check(self.root, example.ENVIRONMENT)[0]]
        self.assertEqual(len(found), 2, found)
        self.assertIn("provisioning/datasources/a.yaml: is no YAML", found[0])
        self.assertIn("dashboards/a.json: is no JSON", found[1])


class Layout(Tree):
    def test_places(self) -> None:
        for path, value, said, at in (
            ("panels[1].gridPos.x", 11, "lies on panels[0] (Rate)", "panels[1].gridPos"),
            ("panels[2].gridPos.y", 7, "lies on panels[0] (Rate)", "panels[2].gridPos"),
            ("panels[1].gridPos.w", 13, "ends at column 25, there are 24", "panels[1].gridPos"),
            ("panels[1].gridPos.h", 0, "out of bounds", "panels[1].gridPos.h"),
            ("panels[1].gridPos", REMOVED, "x, y, w and h are wanted", "panels[1].gridPos"),
            ("panels[2].collapsed", False, "only a collapsed row holds its panels", "panels[2].panels"),
        ):
            with self.subTest(path=path):
                self.documents = example.documents()
                put(self.documents["dashboard"], path, value)
                found = self.found()
                self.assertTrue(found and found[0].startswith(f"dashboards/board.json: {at}: "), found)
                self.assertIn(said, found[0])

    def test_panels_of_a_collapsed_row_may_lie_where_others_do(self) -> None:
        self.documents["dashboard"]["panels"][2]["panels"][0]["gridPos"]["y"] = 0
        self.assertEqual(self.found(), [])


class Variables(unittest.TestCase):
    def test_all_the_ways_to_write_one(self) -> None:
        environment = {"A": "1", "B_C": "2"}
        for text, want in (
            ("$A", "1"),
            ("${A}x", "1x"),
            ("$__env{B_C}", "2"),
            ("$$A", "$A"),
            ("$${A}", "${A}"),
            ("$A$$$B_C", "1$2"),
            ("$NONE-", "-"),
            ("plain", "plain"),
            ("5$", "5$"),
            ("$__file{/x}", "text of /x"),
            ("$__file{/$A}", "text of /$A"),
        ):
            with self.subTest(text=text):
                self.assertEqual(expand.expand(text, environment, lambda path: f"text of {path}"), want)
        with self.assertRaisesRegex(ValueError, "__vault"):
            expand.expand("$__vault{x}", environment)

    def test_which_are_used(self) -> None:
        self.assertEqual(expand.variables("$A ${B} $__env{C} $$D $__file{/E}"), ["B", "C", "A"])
        self.assertEqual(expand.files("$__file{/E} $$__file{/F}"), ["/E"])


if __name__ == "__main__":
    unittest.main()
