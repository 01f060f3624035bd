"""What holds for a whole plan, whatever is added to it: rules over every resource, not over named ones.

Terraform's own assertions name the resources that they look at, so a door that somebody adds would go
unnoticed. Each rule here gets all planned resources and returns the addresses that break it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Resource = Mapping[str, Any]
"""One of a plan's resource_changes."""

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
_SECRET_NAME: Final = re.compile(r"password|secret_string|secret_binary|private_key|auth_token")
_URL_WITH_PASSWORD: Final = re.compile(r"://[^/@\s\"]*:[^/@\s\"]+@")


def planned(plan: Mapping[str, Any]) -> list[Resource]:
    """The resources that a plan makes."""
    return [
        change
        for change in plan["resource_changes"]
        if change["mode"] == "managed" and "create" in change["change"]["actions"]
    ]


def open_doors(resources: Sequence[Resource]) -> list[str]:
    """Rules that let in address ranges, but for the load balancer's."""
    found = []
    for each in resources:
        after = each["change"]["after"]
        if each["type"] == "aws_vpc_security_group_ingress_rule":
            ranges = [after.get(k) for k in ("cidr_ipv4", "cidr_ipv6", "prefix_list_id")]
            if any(ranges) and not each["address"].startswith(_CLIENTS):
                found.append(each["address"])
        elif each["type"] in ("aws_security_group", "aws_default_security_group"):
            if after.get("ingress") or after.get("egress"):
                found.append(each["address"])
        elif each["type"] == "aws_security_group_rule":  # the older kind, which no rule above sees
            found.append(each["address"])
    return found


def public_things(resources: Sequence[Resource]) -> list[str]:
    """Resources with a public address, or of a kind that always has one, but for the load balancer."""
    found = [
        each["address"]
        for each in resources
        for name, value in _leaves(each["change"]["after"])
        if name in _PUBLIC_SWITCHES and value is True
    ]
    found += [each["address"] for each in resources if each["type"] in _PUBLIC_KINDS]
    found += [
        each["address"]
        for each in resources
        if each["type"] == "aws_lb"
        and not each["change"]["after"].get("internal")
        and not each["address"].startswith("aws_lb.main[")
    ]
    return found


def plain_secrets(resources: Sequence[Resource]) -> list[str]:
    """Attributes that hold a secret, or a URL with a password in it."""
    return [
        f"{each['address']}.{name}"
        for each in resources
        for name, value in _leaves(each["change"]["after"])
        if isinstance(value, str)
        and value
        and (_SECRET_NAME.search(name) or _URL_WITH_PASSWORD.search(value))
    ]


def unencrypted(resources: Sequence[Resource]) -> list[str]:
    """Places where data lies without a key of our own."""
    keys = {
        "aws_cloudwatch_log_group": "kms_key_id",
        "aws_db_instance": "kms_key_id",
        "aws_ecr_repository": "encryption_configuration",
        "aws_scheduler_schedule": "kms_key_arn",
        "aws_secretsmanager_secret": "kms_key_id",
        "aws_sns_topic": "kms_master_key_id",
        "aws_sqs_queue": "kms_master_key_id",
    }
    return [
        each["address"]
        for each in resources
        if (key := keys.get(each["type"]))
        and not each["change"]["after"].get(key)
        and not each["change"].get("after_unknown", {}).get(key)
    ]


def everything_allowed(resources: Sequence[Resource]) -> list[str]:
    """Roles that may do everything, or may make whom they like an administrator."""
    found = []
    for each in resources:
        text = each["change"]["after"].get("policy")
        if each["type"] not in ("aws_iam_policy", "aws_iam_role_policy") or not text:
            continue
        for statement in json.loads(text)["Statement"]:
            actions = statement.get("Action", [])
            listed = [actions] if isinstance(actions, str) else actions
            wide = {"*", "iam:*", "sts:*"} & set(listed)
            writes = [name for name in listed if re.match(r"iam:(?!Get|List)", name)]
            anywhere = "*" in statement["Resource"] if statement["Resource"] else False
            if statement["Effect"] == "Allow" and (wide or (writes and anywhere)):
                found.append(each["address"])
    return found


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


RULES: Final = {
    "only the load balancer lets in address ranges": open_doors,
    "nothing but the load balancer is public": public_things,
    "no attribute holds a secret": plain_secrets,
    "data lies under keys of our own": unencrypted,
    "no role may do everything": everything_allowed,
}
