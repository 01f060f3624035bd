"""Rules over a whole plan: what is harmless passes, and each kind of trouble is found by its address."""

from __future__ import annotations

import json
from typing import Any

import pytest

from checks.infra import rules


def change(address: str, **after: Any) -> dict[str, Any]:
    """A resource as a plan lists it."""
    made = {"actions": ["create"], "after": after, "after_unknown": {}}
    return {
        "address": address,
        "type": address.split(".", maxsplit=1)[0],
        "mode": "managed",
        "change": made,
    }


def policy(effect: str, action: Any, resource: Any) -> dict[str, Any]:
    """A role's policy with one statement."""
    statement = {"Effect": effect, "Action": action, "Resource": resource}
    return change("aws_iam_role_policy.x", policy=json.dumps({"Statement": [statement]}))


HARMLESS = [
    change('aws_vpc_security_group_ingress_rule.clients["0.0.0.0/0-443"]', cidr_ipv4="0.0.0.0/0"),
    change('aws_vpc_security_group_ingress_rule.cache_from_task["api"]', cidr_ipv4=None),
    change("aws_security_group.api", name="api"),
    change("aws_lb.main[0]", internal=False),
    change("aws_db_instance.main", publicly_accessible=False, password_wo=None, kms_key_id="key"),
    change(
        "aws_ecs_task_definition.task", container_definitions='[{"value":"postgresql://mms@x/"}]'
    ),
    policy("Allow", "ecr:GetAuthorizationToken", "*"),
    policy("Allow", ["iam:Get*", "iam:List*"], "*"),
    policy("Allow", "iam:PassRole", "arn:aws:iam::1:role/mms-x"),
    policy("Deny", "*", "*"),
]


@pytest.mark.parametrize("name", list(rules.RULES))
def test_what_the_stack_holds_breaks_no_rule(name: str) -> None:
    assert rules.RULES[name](HARMLESS) == []


@pytest.mark.parametrize(
    ("rule", "trouble"),
    [
        (rules.open_doors, change("aws_vpc_security_group_ingress_rule.x", cidr_ipv4="10.0.0.0/8")),
        (rules.open_doors, change("aws_vpc_security_group_ingress_rule.x", cidr_ipv6="::/0")),
        (rules.open_doors, change("aws_vpc_security_group_ingress_rule.x", prefix_list_id="pl-1")),
        (rules.open_doors, change("aws_security_group.x", ingress=[{"from_port": 22}])),
        (rules.open_doors, change("aws_security_group_rule.x", type="ingress")),
        (rules.public_things, change("aws_db_instance.x", publicly_accessible=True)),
        (rules.public_things, change("aws_subnet.x", map_public_ip_on_launch=True)),
        (
            rules.public_things,
            change("aws_ecs_service.x", network_configuration=[{"assign_public_ip": True}]),
        ),
        (rules.public_things, change("aws_lb.other", internal=False)),
        (rules.public_things, change("aws_instance.x")),
        (rules.plain_secrets, change("aws_db_instance.x", password="hunter2")),
        (rules.plain_secrets, change("aws_secretsmanager_secret_version.x", secret_string="a")),
        (
            rules.plain_secrets,
            change("aws_ecs_task_definition.x", container_definitions='"postgresql://mms:pw@x/"'),
        ),
        (rules.unencrypted, change("aws_cloudwatch_log_group.x", name="x")),
        (rules.unencrypted, change("aws_sqs_queue.x", kms_master_key_id="")),
        (rules.everything_allowed, policy("Allow", "*", "*")),
        (rules.everything_allowed, policy("Allow", ["s3:GetObject", "iam:*"], "arn:x")),
        (rules.everything_allowed, policy("Allow", "iam:PassRole", "*")),
        (rules.everything_allowed, policy("Allow", ["iam:PutRolePolicy"], ["arn:x", "*"])),
    ],
)
def test_trouble_is_found_by_its_address(rule: Any, trouble: dict[str, Any]) -> None:
    (address,) = rule([*HARMLESS, trouble])
    assert address.startswith(trouble["address"])


def test_what_is_known_only_after_the_apply_is_no_missing_key() -> None:
    made = change("aws_sqs_queue.x")
    made["change"]["after_unknown"] = {"kms_master_key_id": True}
    assert rules.unencrypted([made]) == []


def test_only_what_is_made_counts_as_planned() -> None:
    data = {**change("data.x"), "mode": "data"}
    gone = change("aws_lb.gone")
    gone["change"]["actions"] = ["delete"]
    assert rules.planned({"resource_changes": [*HARMLESS, data, gone]}) == HARMLESS
