# What cron does on one machine. A schedule names its family without a revision, and so starts whatever
# was deployed last. EventBridge repeats a start that fails; a task that started and could not load is
# made up for by the monitor's repair and by the next run, which catches up any number of days.

locals {
  schedules = {
    incremental = var.incremental_schedule
    monitor     = var.monitor_schedule
  }
}

resource "aws_scheduler_schedule_group" "main" {
  name = local.name
}

resource "aws_scheduler_schedule" "task" {
  for_each = local.schedules

  name                         = "${local.name}-${each.key}"
  description                  = "Runs ${join(" ", local.tasks[each.key].command)}"
  group_name                   = aws_scheduler_schedule_group.main.name
  schedule_expression          = each.value
  schedule_expression_timezone = "UTC" # a daily candle closes at 00:00 UTC
  kms_key_arn                  = aws_kms_key.operations.arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_ecs_cluster.main.arn
    role_arn = aws_iam_role.scheduler[each.key].arn

    ecs_parameters {
      task_definition_arn = local.family_arns[each.key]
      launch_type         = "FARGATE"
      platform_version    = "LATEST"
      task_count          = 1
      propagate_tags      = "TASK_DEFINITION"

      network_configuration {
        subnets          = aws_subnet.private[*].id
        security_groups  = [aws_security_group.worker.id]
        assign_public_ip = false
      }
    }

    retry_policy {
      maximum_retry_attempts       = 20
      maximum_event_age_in_seconds = 3000 # the next hour has a run of its own
    }

    dead_letter_config {
      arn = aws_sqs_queue.not_started.arn
    }
  }
}

# Runs that could not be started at all; the alarm on it says so.
resource "aws_sqs_queue" "not_started" {
  name                              = "${local.name}-not-started"
  message_retention_seconds         = 1209600
  kms_master_key_id                 = aws_kms_key.operations.arn
  kms_data_key_reuse_period_seconds = 3600
}

resource "aws_sqs_queue_policy" "not_started" {
  queue_url = aws_sqs_queue.not_started.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = aws_sqs_queue.not_started.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}
