locals {
  log_groups = { for name in keys(local.tasks) : name => "/${local.name}/${name}" }
}

resource "aws_cloudwatch_log_group" "task" {
  for_each = local.log_groups

  name              = each.value
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.operations.arn
}

# RDS writes into groups of these names, and would make them without key and retention.
resource "aws_cloudwatch_log_group" "database" {
  for_each = toset(flatten([
    for instance in concat([local.name], var.database_replica ? ["${local.name}-replica"] : []) :
    [for log in ["postgresql", "upgrade"] : "${instance}/${log}"]
  ]))

  name              = "/aws/rds/instance/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.operations.arn
}

resource "aws_cloudwatch_log_group" "flow" {
  name              = "/${local.name}/flow"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.operations.arn
}

# Numbers from the application's own JSON lines. The patterns stand in a file of their own, so that a
# test of the application holds them against lines that it really writes.
locals {
  metric_namespace = "MMS/${var.environment}"
  metric_filters   = jsondecode(file("${path.module}/metric_filters.json"))
}

resource "aws_cloudwatch_log_metric_filter" "line" {
  for_each = local.metric_filters

  name           = "${local.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.task[each.value.task].name
  pattern        = each.value.pattern

  metric_transformation {
    namespace = local.metric_namespace
    name      = each.key
    value     = each.value.value
  }
}
