"""Whether a service has come to rest is read from what ECS says of its rollouts."""

from __future__ import annotations

import pytest

from infra.deploy.model import Rollout, Service
from infra.deploy.rollouts import State, judge

OLD, NEW = "td/api:1", "td/api:2"
DONE = Rollout(True, NEW, "COMPLETED")
MOVING = Rollout(True, NEW, "IN_PROGRESS")
BEFORE = Rollout(True, OLD, "COMPLETED")
DRAINING = Rollout(False, OLD, "COMPLETED")
BACK = Rollout(True, OLD, "IN_PROGRESS", "rolling back")
FAILED = Rollout(False, NEW, "FAILED", "circuit breaker: tasks failed to start.")


def service(*rollouts: Rollout, running: int = 2) -> Service:
    return Service("api", rollouts[0].definition, 2, running, rollouts)


@pytest.mark.parametrize(
    ("found", "settled", "state"),
    [
        (service(DONE), True, State.STABLE),
        (service(DONE, running=1), True, State.MOVING),
        (service(DONE, DRAINING), True, State.MOVING),
        (service(MOVING), True, State.MOVING),
        (service(BACK), True, State.REFUSED),
        (service(Rollout(True, NEW, "FAILED")), True, State.REFUSED),
        # What was before the update may show for a moment; a mark of failure counts at once.
        (service(BEFORE), False, State.MOVING),
        (service(BEFORE), True, State.REFUSED),
        (service(BACK, FAILED), False, State.REFUSED),
    ],
)
def test_each_picture_has_its_verdict(found: Service, settled: bool, state: State) -> None:
    assert judge(found, NEW, settled=settled)[0] is state
