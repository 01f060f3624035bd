"""Rules over a whole state: harmless resources pass, each kind of trouble is named by address."""

from __future__ import annotations

import json
from typing import Any

import pytest

from checks.infra import rules

KEY = "arn:aws:kms:us-east-1:1:key/ours"


def made(address: str, **values: Any) -> dict[str, Any]:
    """A resource as a state lists it."""
    kind = address.split(".", maxsplit=1)[0]
    return {"address": address, "type": kind, "mode": "managed", "values": values}


def policy(effect: str, action: Any, resource: Any) -> dict[str, Any]:
    """A role's policy with one statement."""
    return statement(Effect=effect, Action=action, Resource=resource)


def statement(**parts: Any) -> dict[str, Any]:
    return made("aws_iam_role_policy.x", policy=json.dumps({"Statement": [parts]}))


def task(**setting: str) -> dict[str, Any]:
    """A task definition with one container and these settings."""
    listed = [{"name": name, "value": value} for name, value in setting.items()]
    return made(
        "aws_ecs_task_definition.x", container_definitions=json.dumps([{"environment": listed}])
    )


HARMLESS = [
    made('aws_vpc_security_group_ingress_rule.clients["0.0.0.0/0-443"]', cidr_ipv4="0.0.0.0/0"),
    made('aws_vpc_security_group_ingress_rule.cache_from_task["api"]', cidr_ipv4=None),
    made("aws_security_group.api", name="api"),
    made("aws_lb.main[0]", internal=False),
    made("aws_kms_key.data", arn=KEY),
    made(
        "aws_db_instance.main",
        publicly_accessible=False,
        password=None,
        password_wo=None,
        kms_key_id=KEY,
    ),
    made("aws_cloudwatch_log_group.api", kms_key_id=KEY),
    made("aws_ecr_repository.app", encryption_configuration=[{"kms_key": KEY}]),
    task(DB_URL="postgresql://mms@x/"),
    made("aws_iam_role.x", assume_role_policy='{"Statement": []}'),
    made("aws_iam_role_policy_attachment.x", policy_arn="arn:aws:iam::aws:policy/SomeReadOnly"),
    policy("Allow", "ecr:GetAuthorizationToken", "*"),
    policy("Allow", ["iam:Get*", "iam:List*"], "*"),
    policy("Allow", "iam:PassRole", "arn:aws:iam::1:role/mms-dev-*"),
    policy("Allow", ["iam:PassRole"], ["arn:aws:iam::1:role/mms-x"]),
    policy("Deny", "*", "*"),
    statement(Effect="Deny", NotAction="iam:Get*", Resource="*"),
]


@pytest.mark.parametrize("name", list(rules.RULES))
def test_what_the_stack_holds_breaks_no_rule(name: str) -> None:
    assert rules.RULES[name](HARMLESS) == []


@pytest.mark.parametrize(
    ("rule", "trouble"),
    [
        (rules.open_doors, made("aws_vpc_security_group_ingress_rule.x", cidr_ipv4="10.0.0.0/8")),
        (rules.open_doors, made("aws_security_group.x", ingress=[{"from_port": 22}])),
        (rules.public_things, made("aws_db_instance.x", publicly_accessible=True)),
        (rules.public_things, made("aws_subnet.x", map_public_ip_on_launch=True)),
        (
            rules.public_things,
            made("aws_ecs_service.x", network_configuration=[{"assign_public_ip": True}]),
        ),
        (rules.public_things, made("aws_lb.other", internal=False)),
        (rules.public_things, made("aws_instance.x")),
        (rules.plain_secrets, made("aws_db_instance.x", password="hunter2")),
        (rules.plain_secrets, made("aws_secretsmanager_secret_version.x", secret_string="a")),
        (rules.plain_secrets, task(DB_URL="postgresql://mms:pw@x/")),
        (rules.plain_secrets, task(COINGECKO_API_KEY="a")),
        (rules.unencrypted, made("aws_cloudwatch_log_group.x", name="x")),
        (rules.unencrypted, made("aws_db_instance.x", kms_key_id="what AWS would choose")),
        (rules.unencrypted, made("aws_ecr_repository.x", encryption_configuration=[])),
        (rules.unreadable, made("aws_iam_role_policy.x")),
        (rules.unreadable, made("aws_iam_role.x", assume_role_policy="made up")),
        (rules.unreadable, made("aws_ecs_task_definition.x", container_definitions="[]")),
        (rules.everything_allowed, policy("Allow", "*", "*")),
        (rules.everything_allowed, policy("Allow", ["s3:GetObject", "iam:*"], "arn:x")),
        (rules.everything_allowed, policy("Allow", "iam:PassRole", "*")),
        (rules.everything_allowed, policy("Allow", ["iam:PutRolePolicy"], ["arn:x", "*"])),
        (
            rules.everything_allowed,
            statement(Effect="Allow", NotAction="iam:CreateUser", Resource="*"),
        ),
        (
            rules.everything_allowed,
            statement(Effect="Allow", Action="s3:*", NotResource="arn:aws:s3:::x"),
        ),
        (
            rules.everything_allowed,
            made(
                "aws_iam_role_policy_attachment.x",
                policy_arn="arn:aws:iam::aws:policy/AdministratorAccess",
            ),
        ),
    ],
)
def test_trouble_is_found_by_its_address(rule: Any, trouble: dict[str, Any]) -> None:
    (address,) = rule([*HARMLESS, trouble])
    assert address.startswith(trouble["address"])


def test_a_rule_that_looks_past_what_is_there_is_called_blind() -> None:
    nothing = [each for each in HARMLESS if each["type"] != "aws_iam_role_policy"]
    why = rules.blind(rules.everything_allowed, nothing)
    assert why == "there is no aws_iam_role_policy.policy to plant a fault in"
    renamed = made("aws_cloudwatch_log_group.x", key=KEY)
    others = [each for each in HARMLESS if each["type"] != "aws_cloudwatch_log_group"]
    assert "kms_key_id to plant a fault in" in rules.blind(rules.unencrypted, [*others, renamed])


def test_modules_are_looked_into_and_what_is_only_read_is_not() -> None:
    inner = {"resources": [HARMLESS[1]], "child_modules": [{"resources": [HARMLESS[2]]}]}
    read = {**made("data.x"), "mode": "data"}
    state = {"root_module": {"resources": [HARMLESS[0], read], "child_modules": [inner]}}
    assert rules.managed(state) == HARMLESS[:3]
