# Six kinds of task from one image, each with its command, and no more rights than it needs.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "each_task_runs_its_command_with_the_least_rights" {
  command = apply

  variables {
    secret_settings = { COINGECKO_API_KEY = ["collector"] }
  }

  assert {
    condition = { for name, task in aws_ecs_task_definition.task : name => jsondecode(task.container_definitions)[0].command } == {
      api          = ["api"]
      collector    = ["collect"]
      incremental  = ["incremental"]
      initial-load = ["initial-load"]
      migrate      = ["migrate"]
      monitor      = ["monitor", "--repair"]
    }
    error_message = "A task runs another command than the one it is named for."
  }

  assert {
    condition     = alltrue([for name, task in aws_ecs_task_definition.task : task.family == "mms-${var.environment}-${name}"])
    error_message = "A family has another name than the deploy script knows."
  }

  assert {
    condition     = alltrue([for task in aws_ecs_task_definition.task : task.task_role_arn == null])
    error_message = "A container gets credentials of AWS, which it has no use for."
  }

  assert {
    condition = alltrue([
      for task in aws_ecs_task_definition.task :
      jsondecode(task.container_definitions)[0].readonlyRootFilesystem && jsondecode(task.container_definitions)[0].user == "10001:10001" && jsondecode(task.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]
    ])
    error_message = "A container may write its root, is root, or has capabilities."
  }

  assert {
    condition = alltrue([
      for name, task in aws_ecs_task_definition.task :
      jsondecode(task.container_definitions)[0].logConfiguration.options["awslogs-group"] == aws_cloudwatch_log_group.task[name].name
    ])
    error_message = "A task writes into another's log."
  }

  assert {
    condition = alltrue([
      for name, task in aws_ecs_task_definition.task :
      toset([for setting in jsondecode(task.container_definitions)[0].environment : setting.name if contains(["ENV", "LOG_FORMAT", "DB_URL", "CACHE_URL"], setting.name)]) == setsubtract(["ENV", "LOG_FORMAT", "DB_URL", "CACHE_URL"], name == "migrate" ? ["CACHE_URL"] : [])
    ])
    error_message = "A task lacks a setting that it needs."
  }

  assert {
    condition     = alltrue([for name, settings in local.environment : settings.ENV == "prod" && settings.LOG_FORMAT == "json"])
    error_message = "A task would migrate by itself, or write a log that no filter reads."
  }

  assert {
    condition     = alltrue([for name, secrets in local.secrets : contains(keys(secrets), "CACHE_SECRET") == contains(keys(local.environment[name]), "CACHE_URL")])
    error_message = "A task has CACHE_URL without CACHE_SECRET, with which prod does not start, or a secret that it has no use for."
  }

  assert {
    condition     = local.cache_url == "memcached://cache-1.mocked:11211,cache-2.mocked:11211"
    error_message = "CACHE_URL does not name every node."
  }

  assert {
    condition = alltrue([
      for policy in aws_iam_role_policy.execution : alltrue([
        for statement in jsondecode(policy.policy).Statement : statement.Resource != "*" || statement.Action == "ecr:GetAuthorizationToken"
      ])
    ])
    error_message = "A task's role may do something everywhere."
  }

  assert {
    condition = alltrue([
      for policy in aws_iam_role_policy.execution :
      toset(flatten([for statement in jsondecode(policy.policy).Statement : statement.Action])) == toset([
        "ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer",
        "logs:CreateLogStream", "logs:PutLogEvents", "secretsmanager:GetSecretValue", "kms:Decrypt",
      ])
    ])
    error_message = "A task's role may do more than start it."
  }

  assert {
    condition     = { for name, secrets in local.secrets : name => length(secrets) } == { api = 2, collector = 3, incremental = 2, initial-load = 2, migrate = 1, monitor = 2 }
    error_message = "A task's role reads secrets that are not its own."
  }

  assert {
    condition     = alltrue([for role in concat(values(aws_iam_role.execution), values(aws_iam_role.scheduler), [aws_iam_role.flow_log, aws_iam_role.database_monitoring]) : role.permissions_boundary == aws_iam_policy.boundary.arn])
    error_message = "A role has no boundary."
  }

  assert {
    condition     = alltrue([for service in [aws_ecs_service.api, aws_ecs_service.collector] : service.deployment_circuit_breaker[0].enable && service.deployment_circuit_breaker[0].rollback])
    error_message = "A deploy that fails is not taken back."
  }

  assert {
    condition     = aws_ecs_service.api.deployment_minimum_healthy_percent == 100 && aws_ecs_service.api.deployment_maximum_percent == 200
    error_message = "A deploy takes API tasks away before their successors serve."
  }

  assert {
    condition     = aws_ecs_service.collector.deployment_minimum_healthy_percent == 0 && aws_ecs_service.collector.deployment_maximum_percent == 100 && aws_ecs_service.collector.desired_count == 1
    error_message = "Two collectors may run at a time."
  }

  assert {
    condition     = aws_appautoscaling_target.api.min_capacity == var.api_min_tasks && aws_appautoscaling_target.api.max_capacity == var.api_max_tasks && aws_appautoscaling_target.api.resource_id == "service/${local.name}/api"
    error_message = "Autoscaling moves another service, or within other bounds."
  }

  assert {
    condition     = aws_ecr_repository.app.image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.app.image_scanning_configuration[0].scan_on_push
    error_message = "An image's tag can be moved, or an image is not scanned."
  }

  assert {
    condition     = output.service_names == { api = "api", collector = "collector" } && output.cluster_name == local.name && toset(keys(output.task_families)) == toset(keys(local.tasks))
    error_message = "The outputs are not those that the deploy script reads."
  }
}

run "a_replica_answers_the_reads_of_the_api_only" {
  command = plan

  variables {
    database_replica = true
    secret_settings  = { COINGECKO_API_KEY = ["collector"] }
  }

  assert {
    condition     = aws_db_instance.replica[0].replicate_source_db == aws_db_instance.main.identifier && aws_db_instance.replica[0].vpc_security_group_ids == toset([aws_security_group.database.id])
    error_message = "The replica copies or admits somebody else."
  }

  assert {
    condition     = contains(keys(aws_cloudwatch_metric_alarm.alarm), "replica-behind")
    error_message = "Nobody notices a replica that falls behind."
  }
}

run "a_replica_has_an_address_of_its_own" {
  command = apply

  variables {
    database_replica = true
    secret_settings  = { COINGECKO_API_KEY = ["collector"] }
  }

  assert {
    condition     = [for name, settings in local.environment : name if contains(keys(settings), "DB_READ_URL")] == ["api"]
    error_message = "DB_READ_URL reaches other tasks than the API."
  }

  assert {
    condition     = local.environment["api"].DB_READ_URL == local.database_read_url && startswith(local.database_read_url, "postgresql://mms@")
    error_message = "DB_READ_URL is not the replica's address."
  }
}
