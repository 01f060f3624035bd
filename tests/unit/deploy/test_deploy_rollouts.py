"""Whether a service has come to rest is read from what ECS says of its rollouts."""

from __future__ import annotations

import pytest

from infra.deploy.model import Rollout, Service
from infra.deploy.rollouts import State, judge

OLD, NEW = "td/api:1", "td/api:2"
DONE = Rollout(True, NEW, "COMPLETED")
MOVING = Rollout(True, NEW, "IN_PROGRESS")
DRAINING = Rollout(False, OLD, "COMPLETED")
BACK = Rollout(True, OLD, "IN_PROGRESS", "rolling back")
FAILED = Rollout(False, NEW, "FAILED", "circuit breaker: tasks failed to start.")


def service(*rollouts: Rollout, running: int = 2) -> Service:
    return Service("api", rollouts[0].definition, 2, running, rollouts)


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (service(DONE), State.STABLE),
        (service(DONE, running=1), State.MOVING),
        (service(DONE, DRAINING), State.MOVING),
        (service(MOVING, DRAINING), State.MOVING),
        (service(MOVING), State.MOVING),
        (service(BACK, FAILED), State.REFUSED),
        (service(BACK), State.REFUSED),
        (service(Rollout(True, NEW, "FAILED")), State.REFUSED),
    ],
)
def test_each_picture_has_its_verdict(found: Service, state: State) -> None:
    assert judge(found, NEW, settled=True)[0] is state


def test_what_was_before_the_update_may_show_for_a_moment() -> None:
    before = service(Rollout(True, OLD, "COMPLETED"))
    assert judge(before, NEW, settled=False)[0] is State.MOVING
    assert judge(before, NEW, settled=True)[0] is State.REFUSED


def test_a_failed_mark_counts_at_once() -> None:
    state, why = judge(service(BACK, FAILED), NEW, settled=False)
    assert state is State.REFUSED
    assert "tasks failed to start" in why
