"""Rules over every resource of the stack, not over named ones.

Terraform's own assertions name their resources, so a door that somebody adds would go unnoticed.
Each rule here gets all resources and returns the addresses that break it. They come from the state
after an apply with the mocked provider, not from a plan: in a plan every text that holds an ARN is
still unknown, and so is every policy and every container definition.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

Resource = Mapping[str, Any]
"""One of a state's resources: address, type, and values by attribute."""

_CLIENTS: Final = "aws_vpc_security_group_ingress_rule.clients["
_PUBLIC_SWITCHES: Final = {
    "associate_public_ip_address",
    "assign_public_ip",
    "map_public_ip_on_launch",
    "publicly_accessible",
}
_PUBLIC_KINDS: Final = {
    "aws_api_gateway_rest_api",
    "aws_apigatewayv2_api",
    "aws_cloudfront_distribution",
    "aws_instance",
    "aws_lambda_function_url",
    "aws_s3_bucket",
}
_KEYS: Final = {
    "aws_cloudwatch_log_group": "kms_key_id",
    "aws_db_instance": "kms_key_id",
    "aws_ecr_repository": "encryption_configuration",
    "aws_scheduler_schedule": "kms_key_arn",
    "aws_secretsmanager_secret": "kms_key_id",
    "aws_sns_topic": "kms_master_key_id",
    "aws_sqs_queue": "kms_master_key_id",
}
_DOCUMENTS: Final = {
    "aws_ecs_task_definition": "container_definitions",
    "aws_iam_policy": "policy",
    "aws_iam_role": "assume_role_policy",
    "aws_iam_role_policy": "policy",
}
_OF_ADMINISTRATORS: Final = re.compile(
    r":policy/(AdministratorAccess|PowerUserAccess|IAMFullAccess)$"
)
_ANYWHERE: Final = re.compile(r"(^|:)\*$|:(role|user|policy)/\*$")
_SECRET_NAME: Final = re.compile(r"password|secret_string|secret_binary|private_key|auth_token")
_SECRET_SETTING: Final = re.compile(r"PASSWORD|SECRET|TOKEN|KEY")
_URL_WITH_PASSWORD: Final = re.compile(r"://[^/@\s\"]*:[^/@\s\"]+@")


def managed(state: Mapping[str, Any]) -> list[Resource]:
    """The resources that a state holds, with those of its modules; not what it only reads."""

    def of(module: Mapping[str, Any]) -> Iterator[Resource]:
        yield from (each for each in module.get("resources", []) if each["mode"] == "managed")
        for child in module.get("child_modules", []):
            yield from of(child)

    return list(of(state["root_module"]))


def open_doors(resources: Sequence[Resource]) -> list[str]:
    """Rules that let in address ranges, but for the load balancer's."""
    addresses = []
    for each in resources:
        after = each["values"]
        if each["type"] == "aws_vpc_security_group_ingress_rule":
            ranges = [after.get(k) for k in ("cidr_ipv4", "cidr_ipv6", "prefix_list_id")]
            if any(ranges) and not each["address"].startswith(_CLIENTS):
                addresses.append(each["address"])
        elif each["type"] in ("aws_security_group", "aws_default_security_group"):
            if after.get("ingress") or after.get("egress"):
                addresses.append(each["address"])
        elif each["type"] == "aws_security_group_rule":  # the older kind, which no rule above sees
            addresses.append(each["address"])
    return addresses


def public_things(resources: Sequence[Resource]) -> list[str]:
    """Resources with a public address, other than the load balancer."""
    addresses = [
        each["address"]
        for each in resources
        for name, value in _leaves(each["values"])
        if name in _PUBLIC_SWITCHES and value is True
    ]
    addresses += [each["address"] for each in resources if each["type"] in _PUBLIC_KINDS]
    addresses += [
        each["address"]
        for each in resources
        if each["type"] == "aws_lb"
        and not each["values"].get("internal")
        and not each["address"].startswith("aws_lb.main[")
    ]
    return addresses


def plain_secrets(resources: Sequence[Resource]) -> list[str]:
    """Attributes and settings of containers that hold a secret, or a URL with a password."""
    addresses = [
        f"{each['address']}.{name}"
        for each in resources
        for name, value in _leaves(each["values"])
        if isinstance(value, str)
        and value
        and (_SECRET_NAME.search(name) or _URL_WITH_PASSWORD.search(value))
    ]
    addresses += [
        f"{each['address']}.{setting['name']}"
        for each in resources
        if each["type"] == "aws_ecs_task_definition"
        for container in _parsed(each["values"].get("container_definitions")) or []
        for setting in container.get("environment", [])
        if _SECRET_SETTING.search(setting["name"])
    ]
    return addresses


def unencrypted(resources: Sequence[Resource]) -> list[str]:
    """Places where data lies without a key of our own."""
    ours = {each["values"]["arn"] for each in resources if each["type"] == "aws_kms_key"}
    return [
        each["address"]
        for each in resources
        if (name := _KEYS.get(each["type"]))
        and ours.isdisjoint(value for _, value in _leaves(each["values"].get(name)))
    ]


def unreadable(resources: Sequence[Resource]) -> list[str]:
    """Policies and container definitions that the other rules could not look into."""
    return [
        f"{each['address']}.{name}"
        for each in resources
        if (name := _DOCUMENTS.get(each["type"])) and _parsed(each["values"].get(name)) is None
    ]


def everything_allowed(resources: Sequence[Resource]) -> list[str]:
    """Roles that may do everything, or may make whom they like an administrator."""
    addresses = [
        each["address"]
        for each in resources
        if each["type"] in ("aws_iam_policy", "aws_iam_role_policy")
        for statement in _listed((_parsed(each["values"].get("policy")) or {}).get("Statement"))
        if statement["Effect"] == "Allow" and _too_wide(statement)
    ]
    addresses += [
        each["address"]
        for each in resources
        if each["type"] == "aws_iam_role_policy_attachment"
        and _OF_ADMINISTRATORS.search(str(each["values"]["policy_arn"]))
    ]
    return addresses


def _too_wide(statement: Mapping[str, Any]) -> bool:
    """Whether it allows everything, all but something, or to change or pass any role there is."""
    actions = _listed(statement.get("Action"))
    writes = any(re.match(r"iam:(?!Get|List)", name) for name in actions)
    anywhere = any(_ANYWHERE.search(name) for name in _listed(statement.get("Resource")))
    excepting = "NotAction" in statement or "NotResource" in statement
    return (
        excepting or not {"*", "*:*", "iam:*", "sts:*"}.isdisjoint(actions) or (writes and anywhere)
    )


def _listed(value: Any) -> list[Any]:
    """IAM takes one thing for a list of one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _parsed(text: Any) -> Any:
    """What a JSON text holds; None where it is none, or holds nothing."""
    try:
        return json.loads(text) or None
    except (TypeError, ValueError):
        return None


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value within an attribute, with the name of what holds it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name)
    else:
        yield name, value


Rule = Callable[[Sequence[Resource]], list[str]]

RULES: Final[Mapping[str, Rule]] = {
    "only the load balancer lets in address ranges": open_doors,
    "nothing but the load balancer is public": public_things,
    "no attribute holds a secret": plain_secrets,
    "data lies under keys of our own": unencrypted,
    "every policy and container can be read": unreadable,
    "no role may do everything": everything_allowed,
}

_EVERYTHING: Final = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
FAULTS: Final[Mapping[Rule, tuple[str, str, Any]]] = {
    open_doors: ("aws_vpc_security_group_ingress_rule", "cidr_ipv4", "0.0.0.0/0"),
    public_things: ("aws_db_instance", "publicly_accessible", True),
    plain_secrets: ("aws_db_instance", "password", "planted"),
    unencrypted: ("aws_cloudwatch_log_group", "kms_key_id", None),
    unreadable: ("aws_ecs_task_definition", "container_definitions", None),
    everything_allowed: ("aws_iam_role_policy", "policy", json.dumps(_EVERYTHING)),
}
"""For each rule a resource, one of its attributes, and a value that breaks the rule."""


def blind(rule: Rule, resources: Sequence[Resource]) -> str:
    """Why a rule would not notice its fault in this very state; empty where it does.

    A rule about something that the state does not hold, or has another name for, never fails.
    """
    kind, name, value = FAULTS[rule]
    like = next((each for each in resources if each["type"] == kind), None)
    if like is None or name not in like["values"]:
        return f"there is no {kind}.{name} to plant a fault in"
    planted = {**like, "address": f"{kind}.planted", "values": {**like["values"], name: value}}
    noticed = [each for each in rule([*resources, planted]) if each.startswith(f"{kind}.planted")]
    return "" if noticed else f"a fault planted in {kind}.{name} is not noticed"
