"""A deployment does its steps in order, and takes back what it did where one fails.

`make infra-rehearse` shows the usual failures: a migration, a start and a smoke test that fail.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest

from infra.deploy.errors import CannotStart, Failed, Interrupted
from infra.deploy.model import Pace, Rollout
from infra.deploy.report import Report
from infra.deploy.steps import deploy, prepare
from tests.support.ecs import FAMILIES, NEW, OLD, TARGET, Clock, FakeCloud, arn


class Trial:
    """One deployment to a fake, with what it said."""

    def __init__(self, cloud: FakeCloud, smoke: Callable[[], None] | None = None) -> None:
        self.cloud = cloud
        self.said = io.StringIO()
        self.smoked = 0
        self._smoke = smoke
        clock = Clock()
        self.report = Report(self.said, clock.now)
        self.pace = Pace(clock.now, clock.sleep)

    def smoke(self) -> None:
        self.smoked += 1
        self.cloud.calls.append("smoke")
        if self._smoke is not None:
            self._smoke()

    def run(self) -> int:
        plan = prepare(self.cloud, TARGET, NEW, self.report)
        return deploy(self.cloud, TARGET, plan, self.smoke, self.report, self.pace)

    @property
    def untouched(self) -> bool:
        """Whether everything serves, and every name stands for, what it did before."""
        rests = {name: f"mms-dev-{name}:1" for name in TARGET.services}
        names = {f"mms-dev-{name}": f"mms-dev-{name}:1" for name in FAMILIES}
        cloud = self.cloud
        return (cloud.serving(), cloud.newest_names(), cloud.parameters) == (rests, names, {})

    @property
    def text(self) -> str:
        return self.said.getvalue()


def test_every_step_happens_in_order_and_schedules_come_after_the_smoke_test() -> None:
    trial = Trial(FakeCloud())
    assert trial.run() == 0
    assert trial.cloud.calls == [
        "register mms-dev-migrate:2",
        "run mms-dev-migrate:2 in sg-migrate",
        "register mms-dev-api:2",
        "register mms-dev-collector:2",
        "register mms-dev-initial-load:2",
        "update api mms-dev-api:2",
        "update collector mms-dev-collector:2",
        "smoke",
        "register mms-dev-incremental:2",
        "register mms-dev-monitor:2",
        f"remember {NEW.short}",
    ]
    assert trial.cloud.parameters == {"/mms-dev/image": str(NEW)}
    assert trial.cloud.serving() == {"api": "mms-dev-api:2", "collector": "mms-dev-collector:2"}


def test_the_new_revisions_differ_in_the_image_alone() -> None:
    trial = Trial(FakeCloud())
    trial.run()
    for known in trial.cloud.revisions.values():
        old, new = (dict(each.request["containerDefinitions"][0]) for each in known)
        assert (old.pop("image"), new.pop("image")) == (str(OLD), str(NEW))
        assert old == new


@pytest.mark.parametrize("code", [1, None])
def test_a_failing_migration_leaves_everything_as_it_was(code: int | None) -> None:
    trial = Trial(FakeCloud(exit_code=code, lines=("DDL", 'relation "x" does not exist')))
    assert trial.run() == 1
    assert trial.untouched
    assert not [call for call in trial.cloud.calls if call.startswith("update")]
    assert "--log-stream-name task/migrate/abc123" in trial.text
    assert 'relation "x" does not exist' in trial.text
    assert trial.smoked == 0


def test_a_migration_without_an_end_is_stopped() -> None:
    trial = Trial(FakeCloud(task_ends_after=10**9))
    assert trial.run() == 1
    assert "stop abc123" in trial.cloud.calls
    assert trial.untouched


def test_services_that_never_come_to_rest_are_rolled_back() -> None:
    cloud = FakeCloud(rollouts_take=400)
    trial = Trial(cloud)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.seconds > 1_200:
            cloud.rollouts_take = 1  # the way back is quick

    clock = Clock()
    trial.pace = Pace(clock.now, sleep)
    assert trial.run() == 1
    assert trial.untouched


def test_a_way_back_that_fails_is_told_apart() -> None:
    cloud = FakeCloud()

    def smoke() -> None:
        cloud.fails["update api"] = 1
        raise Failed("smoke test: GET /pairs: status 500")

    trial = Trial(cloud, smoke)
    assert trial.run() == 3
    assert "AccessDeniedException" in trial.text


@pytest.mark.parametrize(
    "operation",
    ["register", "start", "task", "update collector", "register mms-dev-monitor", "remember"],
)
def test_an_error_of_aws_takes_everything_back(operation: str) -> None:
    trial = Trial(FakeCloud(fails={operation: 1}))
    assert trial.run() == 1
    assert trial.untouched


def test_an_interruption_asks_for_the_way_back_and_does_not_wait() -> None:
    def smoke() -> None:
        raise Interrupted("interrupted by SIGTERM")

    trial = Trial(FakeCloud(), smoke)
    assert trial.run() == 3
    assert trial.cloud.calls[-6:-4] == [
        "update api mms-dev-api:1",
        "update collector mms-dev-collector:1",
    ]
    assert trial.smoked == 1


def test_tasks_of_another_revision_are_not_taken_for_the_new_version() -> None:
    class Lagging(FakeCloud):
        def tasks_of(self, cluster, service, *, stopped=False):  # type: ignore[no-untyped-def] # as its base
            found = super().tasks_of(cluster, service, stopped=stopped)
            if stopped or service != "api" or "update api mms-dev-api:1" in self.calls:
                return found
            return (replace(found[0], definition=arn("mms-dev-api", 1)),)

    trial = Trial(Lagging())
    assert trial.run() == 1
    assert "api still runs tasks of mms-dev-api:1" in trial.text


def without_collector() -> FakeCloud:
    cloud = FakeCloud()
    del cloud.state["collector"]
    return cloud


def under_way() -> FakeCloud:
    cloud = FakeCloud()
    moving = Rollout(False, arn("mms-dev-api", 1), "IN_PROGRESS")
    api = cloud.state["api"]
    cloud.state["api"] = replace(api, rollouts=(*api.rollouts, moving))
    return cloud


@pytest.mark.parametrize(
    ("cloud", "says"),
    [
        (FakeCloud(cluster=False), "mms-dev"),
        (FakeCloud(stored=False), "the registry does not hold"),
        (FakeCloud(fails={"account": 1}), "AccessDenied"),
        (without_collector(), "collector"),
        (under_way(), "under way"),
    ],
)
def test_what_is_missing_beforehand_prevents_the_start(cloud: FakeCloud, says: str) -> None:
    with pytest.raises(CannotStart, match=says):
        Trial(cloud).run()
    assert cloud.calls == []
