"""The acts of the rehearsal, in order. Each raises ActFailed where an expectation is not met."""

from __future__ import annotations

import itertools
import json
import re
import time
from typing import Any, Final

from infra.rehearsal import balancer, versions
from infra.rehearsal.cloud import REGION
from infra.rehearsal.keys import Key
from infra.rehearsal.stage import BUCKET, Stage, watched
from infra.rehearsal.tasks import exit_code, fire, last_log, run_task
from infra.release.infrastructure import FOLDER

_MONITOR_SAYS: Final = "monitor_heartbeat"


def apply(stage: Stage) -> None:
    """Terraform's plan and apply, by the pipeline's own steps, with the state in (moto's) S3."""
    stage.act("terraform plan and apply of infra/terraform with dev.tfvars")
    stage.stand_in.client("s3").create_bucket(Bucket=BUCKET)
    settings = {
        "MB_API_BASE_URL": f"{stage.exchange}/api/v4",
        "COINGECKO_API_BASE_URL": f"{stage.exchange}/api/v3",
        "MB_REQUESTS_PER_SECOND": "1000",
        "COINGECKO_REQUESTS_PER_SECOND": "1000",
        "PRICE_POLL_SECONDS": "2",
        "COINGECKO_MONTHLY_CALLS": "off",
        "DOCS": "on",  # /openapi.json says which version serves
    }
    variables = {"settings": settings, "secret_settings": {"API_KEYS": ["api"]}}
    lines = [f"{name}={json.dumps(value)}" for name, value in variables.items()]
    release = [stage.deploy_python, "-m", "infra.release"]
    began = time.monotonic()
    code, said = stage.run([*release, "plan"], TF_VARIABLES="\n".join(lines))
    planned = next((line for line in said.splitlines() if line.startswith("Plan:")), said[-2_000:])
    stage.check(code == 0, f"the plan is made: {planned}")
    shown = "".join(re.findall(r"(?m)^PLAN_SHA256=([0-9a-f]{64})$", said))
    _refuse_another_plan(stage, release, shown)
    code, said = stage.run([*release, "apply"], PLAN_SHA256=shown)
    stage.check(code == 0, "the plan that was shown is applied")
    stage.figures["apply seconds"] = round(time.monotonic() - began)
    stage.figures["resources applied"] = said.split("applied: ")[-1].split(" ")[0]
    stage.check(stage.outputs_file.exists(), "Terraform's outputs are written")
    code, said = stage.run([*release, "apply"], PLAN_SHA256=shown)
    again = code == 0 and "applied before, in this run" in said
    stage.check(again, "the job can be run again, and does not apply its plan again")
    _connect(stage)
    _state_holds_no_secret(stage)
    stage.stand_in.settle()
    (api,) = _services(stage, ["api"])
    stage.check(api["runningCount"] == 0, "nothing runs yet: no image was pushed")


def _refuse_another_plan(stage: Stage, release: list[str], shown: str) -> None:
    """A plan that is put in the place of the one that was shown is noticed."""
    s3 = stage.stand_in.client("s3")
    (kept,) = s3.list_objects_v2(Bucket=BUCKET, Prefix="mms-dev/plans/")["Contents"]
    plan = s3.get_object(Bucket=BUCKET, Key=kept["Key"])["Body"].read()
    s3.put_object(Bucket=BUCKET, Key=kept["Key"], Body=b"another plan")
    code, said = stage.run([*release, "apply"], PLAN_SHA256=shown)
    refused = code == 1 and "is not the plan that was shown" in said
    stage.check(refused, "a plan that was put in its place is refused: exit 1")
    s3.put_object(Bucket=BUCKET, Key=kept["Key"], Body=plan)


def _connect(stage: Stage) -> None:
    """Put the programs of this machine in the place of RDS and ElastiCache."""
    address = str(stage.output("database_address"))
    password = stage.stand_in.database_password("mms-dev")
    stage.database.create("mms", "mms", password)
    places = stage.stand_in.world.addresses
    places[f"{address}:5432"] = f"127.0.0.1:{stage.database.port}"
    clusters = stage.stand_in.client("elasticache").describe_cache_clusters(ShowCacheNodeInfo=True)
    for node in clusters["CacheClusters"][0]["CacheNodes"]:
        where = node["Endpoint"]
        places[f"{where['Address']}:{where['Port']}"] = f"127.0.0.1:{stage.cache}"
    stage.say(f"{address} is PostgreSQL on loopback, with TLS and the password that RDS was given")
    elb = stage.stand_in.client("elbv2")
    (load_balancer,) = elb.describe_load_balancers()["LoadBalancers"]
    _follow_rules(stage, elb, load_balancer["LoadBalancerArn"])
    subnets = [zone["SubnetId"] for zone in load_balancer["AvailabilityZones"]]
    for subnet in stage.stand_in.client("ec2").describe_subnets(SubnetIds=subnets)["Subnets"]:
        places[subnet["CidrBlock"]] = balancer.ADDRESS


def _follow_rules(stage: Stage, elb: Any, load_balancer: str) -> None:
    """Tell the load balancer's stand-in what its rules answer themselves."""
    (listener,) = elb.describe_listeners(LoadBalancerArn=load_balancer)["Listeners"]
    for rule in elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]:
        methods = [
            method
            for condition in rule["Conditions"]
            for method in condition.get("HttpRequestMethodConfig", {}).get("Values", [])
        ]
        fixed = [a["FixedResponseConfig"] for a in rule["Actions"] if "FixedResponseConfig" in a]
        for method, answer in itertools.product(methods, fixed):
            stage.stand_in.balancer.answer(
                method, answer["StatusCode"], answer["ContentType"], answer["MessageBody"]
            )
            stage.say(f"the load balancer answers {method} itself: {answer['StatusCode']}")


def _state_holds_no_secret(stage: Stage) -> None:
    """What Terraform drew is in Secrets Manager, and not in its state."""
    client = stage.stand_in.client
    state = client("s3").get_object(Bucket=BUCKET, Key="mms-dev/terraform.tfstate")["Body"].read()
    for name in ("database-password", "cache-secret"):
        reply = client("secretsmanager").get_secret_value(SecretId=f"mms-dev/{name}")
        value = str(reply["SecretString"])
        hidden = len(value) >= 32 and value.encode() not in state
        stage.check(hidden, f"the state does not hold {name}, which has {len(value)} characters")


def first_deployment(stage: Stage, head: str) -> None:
    """An empty database, and services that never ran."""
    stage.act("the first deployment")
    versions.build_all(stage, head)
    _put_keys(stage, stage.first_key)
    unknown = stage.image("first").rpartition(":")[0] + ":" + "0" * 64
    code, _ = stage.deploy(unknown)
    stage.check(code == 2, "an image that was never pushed cannot be deployed: exit 2")
    code, said = stage.deploy(stage.image("first"), "--plan")
    stage.check(code == 0 and "register" not in said, "--plan says what would be done: exit 0")
    began = time.monotonic()
    code, said = stage.deploy(stage.image("first"))
    stage.figures["first deployment seconds"] = round(time.monotonic() - began, 1)
    stage.check(code == 0, "the first deployment succeeds: exit 0")
    stage.check(stage.revision() == head, f"Alembic brought PostgreSQL to {head}")
    stage.check("nothing is stored yet" in said, "the smoke test says that no data is there yet")
    parameter = stage.output("image_parameter_name")
    value = stage.stand_in.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
    stage.check(value == stage.image("first"), f"{parameter} names the image for Terraform")


def initial_load(stage: Stage) -> None:
    """The one-off task."""
    stage.act("the initial load as a one-off task")
    task = run_task(stage, "initial-load")
    stage.check(exit_code(task) == 0, "initial-load ends with 0")
    loaded = stage.get("/pairs")["pairs"]
    stage.check(all(p["missing"] == 0 for p in loaded), f"{len(loaded)} pairs are complete")


def edge(stage: Stage) -> None:
    """Under which names the API answers, whom it takes for the client, and what one may ask."""
    stage.act("names, clients and their rates, through the load balancer")
    name = str(stage.output("load_balancer_dns_name"))
    status, _, _ = stage.ask("/pairs", Host=name)
    stage.check(status == 200, "it answers under the load balancer's name")
    status, _, _ = stage.ask("/pairs", Host="elsewhere.example")
    stage.check(status == 421, "under another name it does not: 421")
    asking = {"X-Forwarded-For": "192.0.2.7", "X-Request-ID": "who-asks"}
    stage.ask("/pairs", client="127.0.0.3", **asking)
    client = _client_in_log(stage, "who-asks")
    stage.check(client == "127.0.0.3", f"the log's client is who asks, and not a proxy: {client}")

    stage.act("who may collect")
    key = stage.first_key
    status, _, body = stage.ask("/collect-once/BTC", method="POST")
    refused = (status, json.loads(body)["code"]) == (403, "forbidden")
    stage.check(refused, "the load balancer lets no POST through: 403")
    status = _collect(stage, None, "127.0.0.4")
    stage.check(status == 401, "a task itself takes none without a key: 401")
    statuses = [_collect(stage, key, "127.0.0.5") for _ in range(20)]
    limited = statuses[0] == 200 and 429 in statuses
    stage.check(limited, "with a key it collects, until that client does so too often: 429")
    status = _collect(stage, key, "127.0.0.6")
    stage.check(status == 200, "another client does not notice")


def _put_keys(stage: Stage, *keys: Key) -> None:
    """Put the entries of these keys, and of no other, into the secret of API_KEYS."""
    name = stage.output("secret_names")["API_KEYS"]
    entries = "\n".join(key.entry for key in keys)
    stage.stand_in.client("secretsmanager").put_secret_value(SecretId=name, SecretString=entries)
    stage.say(f"{name} holds {len(keys)} API keys")


def _collect(stage: Stage, key: Key | None, client: str) -> int:
    """What the newest API task answers a POST, past the load balancer."""
    at = f"http://127.0.0.1:{stage.stand_in.fargate.ports('api')[-1]}"
    bearer = {} if key is None else {"Authorization": f"Bearer {key.secret}"}
    return stage.ask("/collect-once/BTC", method="POST", client=client, at=at, **bearer)[0]


def _client_in_log(stage: Stage, request_id: str) -> str:
    """The client that the API has logged for a request. The line comes after the reply."""
    give_up = time.monotonic() + 30.0
    while time.monotonic() < give_up:
        programs = [task.program for task in stage.stand_in.fargate.history if task.program]
        for line in (line for program in programs for line in program.lines):
            if f'"request_id": "{request_id}"' in line:
                return str(json.loads(line).get("client"))
        time.sleep(0.1)
    return "nobody"


def schedules(stage: Stage) -> None:
    """Each schedule's own target, started once, as EventBridge would."""
    stage.act("every schedule, once")
    scheduler = stage.stand_in.client("scheduler")
    for kind, name in sorted(stage.output("schedule_names").items()):
        schedule = scheduler.get_schedule(Name=name, GroupName="mms-dev")
        task = fire(stage, schedule)
        says = schedule["ScheduleExpression"]
        stage.check(exit_code(task) == 0, f"{name} ({says}) runs {kind}: exit 0")
    stage.check(
        _MONITOR_SAYS in last_log(stage, "monitor"), "the monitor's heartbeat is in its log"
    )
    day = "(SELECT max(bucket) - 10 * 86400 FROM candles)"
    for statement in (
        "DELETE FROM averages WHERE bucket = ",
        "DELETE FROM candles WHERE bucket = ",
    ):
        stage.database.ask(statement + day, "mms")
    task = run_task(stage, "monitor", command=["monitor"])
    stage.check(exit_code(task) == 1, "with a candle removed the monitor says so: exit 1")
    schedule = scheduler.get_schedule(
        Name=stage.output("schedule_names")["monitor"], GroupName="mms-dev"
    )
    stage.check(exit_code(fire(stage, schedule)) == 0, "its schedule repairs it: exit 0")


def second_deployment(stage: Stage) -> None:
    """A new version with a migration, while the service is asked all the time."""
    stage.act("a deployment with a migration, under load")
    before = stage.revision()
    both = (stage.first_key, stage.second_key)
    _put_keys(stage, *both)
    with watched(stage) as counts:
        began = time.monotonic()
        code, _ = stage.deploy(stage.image("second"), "--json")
        stage.figures["deployment seconds"] = round(time.monotonic() - began, 1)
    stage.check(code == 0, "the second deployment succeeds: exit 0")
    stage.check(stage.revision() > before, f"the schema went from {before} to {stage.revision()}")
    stage.check(_version(stage) == "0.2.0", "version 0.2.0 serves")
    statuses = [_collect(stage, key, "127.0.0.7") for key in both]
    stage.check(statuses == [200, 200], "the key of before is valid, and the new one beside it")
    stage.figures["requests during it"] = counts["requests"]
    stage.figures["of them failed"] = counts["failed"]
    stage.check(counts["failed"] == 0, f"none of {counts['requests']} requests failed meanwhile")


def failing_migration(stage: Stage) -> None:
    """The deployment stops; the version of before is not touched."""
    stage.act("a migration that fails")
    before, serving = stage.revision(), _revisions(stage)
    with watched(stage) as counts:
        code, said = stage.deploy(stage.image("bad-migration"))
    stage.check(code == 1, "the deployment fails: exit 1")
    stage.check(
        "log: aws logs" in said and "interval_seconds_of_nothing" in said, "it shows the log"
    )
    stage.check(stage.revision() == before, f"the schema is at {before} as before")
    there = stage.database.ask("SELECT to_regclass('half_way') IS NULL", "mms")
    stage.check(there == "t", "the half of the migration that had been done is gone")
    stage.check(_version(stage) == "0.2.0", "version 0.2.0 serves on")
    stage.check(_revisions(stage) == serving, "every family's newest active revision is as before")
    stage.check(counts["failed"] == 0, f"none of {counts['requests']} requests failed meanwhile")


def failing_start(stage: Stage) -> None:
    """Tasks that end at once: ECS's circuit breaker goes back by itself, and that is a failure."""
    stage.act("a version that does not start")
    serving = _revisions(stage)
    with watched(stage) as counts:
        code, said = stage.deploy(stage.image("bad-start"))
    stage.check(code == 1, "the deployment fails: exit 1")
    stage.check("circuit breaker" in said, "it says that the circuit breaker gave up")
    stage.check(_version(stage) == "0.2.0", "version 0.2.0 serves on")
    stage.check(_revisions(stage) == serving, "every family's newest active revision is as before")
    stage.check(counts["failed"] == 0, f"none of {counts['requests']} requests failed meanwhile")


def failing_smoke_test(stage: Stage) -> None:
    """A version that starts and is healthy, and answers wrongly: it is rolled back."""
    stage.act("a version whose replies lack a header")
    serving = _revisions(stage)
    with watched(stage) as counts:
        began = time.monotonic()
        code, said = stage.deploy(stage.image("bad-replies"))
        stage.figures["rolled back after seconds"] = round(time.monotonic() - began, 1)
    stage.check(code == 1, "the deployment fails: exit 1")
    stage.check("x-data-missing is missing" in said, "the smoke test names what is wrong")
    stage.check("rolled back" in said, "it says that it rolled back")
    stage.check(_version(stage) == "0.2.0", "version 0.2.0 serves again")
    stage.check(_revisions(stage) == serving, "every family's newest active revision is as before")
    stage.check(counts["failed"] == 0, f"none of {counts['requests']} requests failed meanwhile")


def earlier_image(stage: Stage) -> None:
    """Going back by hand: an earlier image runs on the newer schema, which only added a column."""
    stage.act("going back to the first image, by hand")
    _put_keys(stage, stage.second_key)
    with watched(stage) as counts:
        code, _ = stage.deploy(stage.image("first"), "--no-migration")
    stage.check(code == 0, "an earlier image is deployed without its migration: exit 0")
    stage.check(_version(stage) == "0.1.0", f"version 0.1.0 serves on schema {stage.revision()}")
    statuses = [_collect(stage, key, "127.0.0.8") for key in (stage.first_key, stage.second_key)]
    stage.check(statuses == [401, 200], "the key that was removed is not valid any more: 401")
    stage.check(counts["failed"] == 0, f"none of {counts['requests']} requests failed meanwhile")


def destroy(stage: Stage) -> None:
    """Everything that Terraform made goes, and nothing is left."""
    stage.act("terraform destroy")
    terraform = ["sh", "scripts/terraform.sh", f"-chdir={FOLDER}"]
    began = time.monotonic()
    code, said = stage.run(
        [
            *terraform,
            "destroy",
            "-auto-approve",
            "-input=false",
            "-no-color",
            "-var-file=dev.tfvars",
            f"-var=region={REGION}",
        ]
    )
    stage.figures["destroy seconds"] = round(time.monotonic() - began)
    stage.check(code == 0, f"everything is destroyed: {said.strip().splitlines()[-1]}")
    done = [line for line in said.splitlines() if line.startswith("Destroy complete!")]
    stage.figures["resources destroyed"] = done[-1].split("Resources: ")[-1].split(" ")[0]
    code, said = stage.run([*terraform, "state", "list"])
    stage.check(code == 0 and not said.strip(), "the state holds no resource")
    left = _left(stage)
    stage.figures["resources left"] = sum(left.values())
    stage.check(not any(left.values()), f"AWS's stand-in holds none: {json.dumps(left)}")
    stage.check(stage.stand_in.fargate.running == 0, "no task runs any more")
    # They cost nothing and are kept on purpose (skip_destroy), for a rollback.
    kept = stage.stand_in.client("ecs").list_task_definitions()["taskDefinitionArns"]
    stage.figures["task definitions kept"] = len(kept)


def _left(stage: Stage) -> dict[str, int]:
    """What is still there, asked of the stand-in itself rather than of Terraform."""
    client = stage.stand_in.client
    ec2, ecs, iam = client("ec2"), client("ecs"), client("iam")
    own = [{"Name": "tag:Project", "Values": ["mms-api"]}]
    return {
        "VPCs": len(ec2.describe_vpcs(Filters=own)["Vpcs"]),
        "subnets": len(ec2.describe_subnets(Filters=own)["Subnets"]),
        "security groups": len(ec2.describe_security_groups(Filters=own)["SecurityGroups"]),
        "NAT gateways": len(
            [n for n in ec2.describe_nat_gateways()["NatGateways"] if n["State"] != "deleted"]
        ),
        "load balancers": len(client("elbv2").describe_load_balancers()["LoadBalancers"]),
        "databases": len(client("rds").describe_db_instances()["DBInstances"]),
        "caches": len(client("elasticache").describe_cache_clusters()["CacheClusters"]),
        "clusters": len(
            [
                c
                for c in ecs.describe_clusters(clusters=["mms-dev"])["clusters"]
                if c["status"] != "INACTIVE"
            ]
        ),
        "repositories": len(client("ecr").describe_repositories()["repositories"]),
        "secrets": len(client("secretsmanager").list_secrets()["SecretList"]),
        "schedules": len(client("scheduler").list_schedules()["Schedules"]),
        "log groups": len(client("logs").describe_log_groups()["logGroups"]),
        "alarms": len(client("cloudwatch").describe_alarms()["MetricAlarms"]),
        "roles": len([r for r in iam.list_roles()["Roles"] if r["RoleName"].startswith("mms-")]),
        "queues": len(client("sqs").list_queues().get("QueueUrls", [])),
        "topics": len(client("sns").list_topics()["Topics"]),
    }


def _services(stage: Stage, names: list[str]) -> Any:
    ecs = stage.stand_in.client("ecs")
    return ecs.describe_services(cluster=stage.output("cluster_name"), services=names)["services"]


def _revisions(stage: Stage) -> dict[str, str]:
    """What each family's name stands for now."""
    ecs = stage.stand_in.client("ecs")
    return {
        family: ecs.describe_task_definition(taskDefinition=family)["taskDefinition"][
            "taskDefinitionArn"
        ].rpartition("/")[2]
        for family in stage.output("task_families").values()
    }


def _version(stage: Stage) -> str:
    return str(stage.get("/openapi.json")["info"]["version"])
