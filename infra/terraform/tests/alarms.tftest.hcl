# What must ring rings, and silence of the monitor is an alarm itself.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "every_alarm_has_its_metric_and_reaches_people" {
  command = apply

  assert {
    condition = length(setsubtract([
      "monitor-failed", "monitor-silent", "data-stale", "api-5xx", "load-balancer-5xx", "api-slow", "api-unhealthy",
      "api-tasks-missing", "database-storage-low", "load-failed", "load-silent", "prices-silent", "runs-not-started",
    ], keys(aws_cloudwatch_metric_alarm.alarm))) == 0
    error_message = "An alarm is missing."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.alarm : alarm.alarm_actions == toset([aws_sns_topic.alarms.arn]) && alarm.ok_actions == toset([aws_sns_topic.alarms.arn])])
    error_message = "An alarm begins or ends unheard."
  }

  assert {
    condition     = alltrue([for name in ["monitor-silent", "load-silent", "prices-silent", "api-tasks-missing", "collector-missing", "database-storage-low"] : aws_cloudwatch_metric_alarm.alarm[name].treat_missing_data == "breaching"])
    error_message = "Silence is taken for health."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.alarm["monitor-silent"].metric_name == "MonitorHeartbeat" && aws_cloudwatch_metric_alarm.alarm["monitor-silent"].comparison_operator == "LessThanThreshold" && aws_cloudwatch_metric_alarm.alarm["monitor-silent"].threshold == 1
    error_message = "The monitor's silence is not noticed by its heartbeat."
  }

  assert {
    condition     = toset([for alarm in aws_cloudwatch_metric_alarm.alarm : alarm.metric_name if alarm.namespace == local.metric_namespace]) == setsubtract(keys(aws_cloudwatch_log_metric_filter.line), ["MissingBuckets"])
    error_message = "An alarm waits for a metric that no filter makes, or a filter's metric rings nothing."
  }

  assert {
    condition = alltrue([
      for name, filter in aws_cloudwatch_log_metric_filter.line :
      filter.metric_transformation[0].name == name && filter.metric_transformation[0].namespace == local.metric_namespace && contains([for group in aws_cloudwatch_log_group.task : group.name], filter.log_group_name)
    ])
    error_message = "A filter reads a log that nobody writes, or makes another metric than its name says."
  }

  assert {
    condition     = alltrue([for filter in aws_cloudwatch_log_metric_filter.line : filter.metric_transformation[0].default_value == null])
    error_message = "A default value would hide silence."
  }

  # CloudWatch's limit: a week by the hour, a day by less.
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.alarm : alarm.period * alarm.evaluation_periods <= (alarm.period < 3600 ? 86400 : 604800)])
    error_message = "An alarm looks back further than CloudWatch lets it."
  }

  # The period that has just begun is empty, so silence in one period alone would ring every time.
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.alarm : alarm.evaluation_periods >= 2 if alarm.treat_missing_data == "breaching"])
    error_message = "An alarm on silence rings whenever a period begins."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.alarm : (alarm.statistic == null) != (alarm.extended_statistic == null)])
    error_message = "An alarm has no statistic, or two."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.alarm["database-storage-low"].threshold == var.database_storage_gb * 1024 * 1024 * 1024 / 10
    error_message = "The alarm of the database's storage is not a tenth of it."
  }

  assert {
    condition     = alltrue([for group in concat(values(aws_cloudwatch_log_group.task), values(aws_cloudwatch_log_group.database), [aws_cloudwatch_log_group.flow]) : group.retention_in_days == var.log_retention_days && group.kms_key_id == aws_kms_key.operations.arn])
    error_message = "A log is kept for ever, or without our key."
  }

  assert {
    condition     = toset([for subscription in aws_sns_topic_subscription.email : subscription.endpoint]) == var.alarm_emails
    error_message = "The alarms reach others than alarm_emails."
  }

  assert {
    condition     = aws_budgets_budget.month[0].limit_amount == tostring(var.monthly_budget_usd) && alltrue([for notice in aws_budgets_budget.month[0].notification : notice.subscriber_sns_topic_arns == toset([aws_sns_topic.alarms.arn])])
    error_message = "The budget is another, or its notices reach nobody."
  }

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.main.dashboard_body).widgets) >= 7
    error_message = "The dashboard lacks panels."
  }
}

run "a_budget_of_zero_is_none" {
  command = plan

  variables {
    monthly_budget_usd = 0
  }

  assert {
    condition     = length(aws_budgets_budget.month) == 0
    error_message = "There is a budget of zero."
  }
}
