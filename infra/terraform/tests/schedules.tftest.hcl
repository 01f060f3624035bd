# Every schedule starts a task that exists, with the command that it is there for.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "every_schedule_has_its_target" {
  command = apply

  assert {
    condition     = toset(keys(aws_scheduler_schedule.task)) == toset(["incremental", "monitor"])
    error_message = "The incremental loader and the monitor are what runs on schedule."
  }

  assert {
    condition = alltrue([
      for name, schedule in aws_scheduler_schedule.task :
      schedule.target[0].ecs_parameters[0].task_definition_arn == "arn:aws:ecs:${var.region}:123456789012:task-definition/${aws_ecs_task_definition.task[name].family}"
    ])
    error_message = "A schedule does not start the newest revision of its own family."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.task["incremental"].container_definitions)[0].command == ["incremental"]
    error_message = "The loader's task runs another command."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.task["monitor"].container_definitions)[0].command == ["monitor", "--repair"]
    error_message = "The monitor's task runs another command."
  }

  assert {
    condition     = alltrue([for schedule in aws_scheduler_schedule.task : schedule.target[0].arn == aws_ecs_cluster.main.arn])
    error_message = "A schedule starts its task in another cluster."
  }

  assert {
    condition     = aws_scheduler_schedule.task["incremental"].schedule_expression == "cron(5 0 * * ? *)" && aws_scheduler_schedule.task["incremental"].schedule_expression_timezone == "UTC"
    error_message = "The loader does not run daily after the close at 00:00 UTC."
  }

  assert {
    condition     = aws_scheduler_schedule.task["monitor"].schedule_expression == "cron(35 * * * ? *)" && aws_scheduler_schedule.task["monitor"].schedule_expression_timezone == "UTC"
    error_message = "The monitor does not run hourly."
  }

  assert {
    condition     = alltrue([for schedule in aws_scheduler_schedule.task : schedule.state == null || schedule.state == "ENABLED"])
    error_message = "A schedule is switched off."
  }

  assert {
    condition = alltrue([
      for schedule in aws_scheduler_schedule.task :
      schedule.target[0].retry_policy[0].maximum_retry_attempts > 0 && schedule.target[0].retry_policy[0].maximum_event_age_in_seconds < 3600
    ])
    error_message = "A start that fails is not repeated, or runs into the next hour's."
  }

  assert {
    condition     = alltrue([for schedule in aws_scheduler_schedule.task : schedule.target[0].dead_letter_config[0].arn == aws_sqs_queue.not_started.arn])
    error_message = "A run that was given up leaves no trace."
  }

  assert {
    condition     = alltrue([for schedule in aws_scheduler_schedule.task : schedule.target[0].ecs_parameters[0].network_configuration[0].security_groups == toset([aws_security_group.worker.id])])
    error_message = "A scheduled task has another group than the workers'."
  }

  assert {
    condition = alltrue([
      for name, policy in aws_iam_role_policy.scheduler :
      toset(one([for statement in jsondecode(policy.policy).Statement : statement if statement.Sid == "RunTask"]).Resource) == toset([
        aws_scheduler_schedule.task[name].target[0].ecs_parameters[0].task_definition_arn,
        "${aws_scheduler_schedule.task[name].target[0].ecs_parameters[0].task_definition_arn}:*",
      ])
    ])
    error_message = "A schedule's role may not start its task, or may start others."
  }
}
