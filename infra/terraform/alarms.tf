# Every alarm goes to one topic, when it begins and when it ends. docs/deploying-aws.md says what to do about each.

resource "aws_sns_topic" "alarms" {
  name              = "${local.name}-alarms"
  kms_master_key_id = aws_kms_key.operations.arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Publish"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

locals {
  api_service       = { ClusterName = aws_ecs_cluster.main.name, ServiceName = aws_ecs_service.api.name }
  collector_service = { ClusterName = aws_ecs_cluster.main.name, ServiceName = aws_ecs_service.collector.name }
  load_balancer     = { LoadBalancer = one(aws_lb.main[*].arn_suffix) }
  target_group      = merge(local.load_balancer, { TargetGroup = one(aws_lb_target_group.api[*].arn_suffix) })
  database          = { DBInstanceIdentifier = aws_db_instance.main.identifier }
  cache_cluster     = { CacheClusterId = aws_elasticache_cluster.main.cluster_id }

  # What is missing: "breaching" where silence is itself the trouble, else "notBreaching".
  common_alarms = {
    monitor-failed = {
      says      = "The gap monitor found something missing or stale, or could not check: see its log."
      namespace = local.metric_namespace, metric = "MonitorFailed", dimensions = {}
      statistic = "Sum", above = 0, period = 3600, periods = 1, missing = "notBreaching"
    }
    monitor-silent = {
      says      = "The gap monitor has not written its heartbeat: nobody watches the data."
      namespace = local.metric_namespace, metric = "MonitorHeartbeat", dimensions = {}
      statistic = "Sum", below = 1, period = 3600, periods = var.monitor_silent_hours, missing = "breaching"
    }
    data-stale = {
      says      = "A series lacks candles that closed more than an hour ago, and nobody has asked for them."
      namespace = local.metric_namespace, metric = "StaleSeries", dimensions = {}
      statistic = "Maximum", above = 0, period = 3600, periods = 1, missing = "notBreaching"
    }
    load-failed = {
      says      = "The incremental loader could not load a pair: its log line names the reason."
      namespace = local.metric_namespace, metric = "LoadFailed", dimensions = {}
      statistic = "Sum", above = 0, period = 3600, periods = 1, missing = "notBreaching"
    }
    load-silent = {
      says      = "No load has finished for thirty hours."
      namespace = local.metric_namespace, metric = "LoadFinished", dimensions = {}
      statistic = "Sum", below = 1, period = 21600, periods = 5, missing = "breaching"
    }
    prices-silent = {
      says      = "The collector has stored no price for half an hour."
      namespace = local.metric_namespace, metric = "PricesCollected", dimensions = {}
      statistic = "Sum", below = 1, period = 900, periods = 2, missing = "breaching"
    }
    runs-not-started = {
      says       = "A scheduled run could not be started; the queue holds why."
      namespace  = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible"
      dimensions = { QueueName = aws_sqs_queue.not_started.name }
      statistic  = "Maximum", above = 0, period = 300, periods = 1, missing = "notBreaching"
    }
    requests-failed = {
      says      = "The API answered with 5xx or crashed: request_failed and request_crashed in its log say why."
      namespace = local.metric_namespace, metric = "RequestsFailed", dimensions = {}
      statistic = "Sum", above = 5, period = 300, periods = 1, missing = "notBreaching"
    }
    api-tasks-missing = {
      says      = "Fewer API tasks run than the least that is wanted."
      namespace = "ECS/ContainerInsights", metric = "RunningTaskCount", dimensions = local.api_service
      statistic = "Minimum", below = var.api_min_tasks, period = 60, periods = 10, missing = "breaching"
    }
    collector-missing = {
      says      = "No collector runs."
      namespace = "ECS/ContainerInsights", metric = "RunningTaskCount", dimensions = local.collector_service
      statistic = "Minimum", below = 1, period = 60, periods = 10, missing = "breaching"
    }
    api-cpu-high = {
      says      = "The API tasks are busy although autoscaling had ten minutes: see api_max_tasks."
      namespace = "AWS/ECS", metric = "CPUUtilization", dimensions = local.api_service
      statistic = "Average", above = 85, period = 300, periods = 3, missing = "notBreaching"
    }
    api-memory-high = {
      says      = "An API task is near its memory limit, at which it is killed."
      namespace = "AWS/ECS", metric = "MemoryUtilization", dimensions = local.api_service
      statistic = "Maximum", above = 90, period = 300, periods = 2, missing = "notBreaching"
    }
    database-storage-low = {
      says      = "The database has less than a tenth of its first storage left; at database_max_storage_gb it stops growing."
      namespace = "AWS/RDS", metric = "FreeStorageSpace", dimensions = local.database
      statistic = "Minimum", below = var.database_storage_gb * 1024 * 1024 * 1024 / 10, period = 300, periods = 3, missing = "breaching"
    }
    database-cpu-high = {
      says      = "The database is busy."
      namespace = "AWS/RDS", metric = "CPUUtilization", dimensions = local.database
      statistic = "Average", above = 80, period = 300, periods = 3, missing = "breaching"
    }
    cache-memory-low = {
      says      = "Memcached drops entries for lack of memory: reads get slower, never wrong."
      namespace = "AWS/ElastiCache", metric = "Evictions", dimensions = local.cache_cluster
      statistic = "Sum", above = 1000, period = 3600, periods = 1, missing = "notBreaching"
    }
  }

  load_balancer_alarms = {
    api-5xx = {
      says      = "API tasks answer with 5xx: request_failed and request_crashed in their log say why."
      namespace = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count", dimensions = local.load_balancer
      statistic = "Sum", above = 5, period = 300, periods = 1, missing = "notBreaching"
    }
    load-balancer-5xx = {
      says      = "The load balancer itself answers with 5xx: no task could be reached."
      namespace = "AWS/ApplicationELB", metric = "HTTPCode_ELB_5XX_Count", dimensions = local.load_balancer
      statistic = "Sum", above = 5, period = 300, periods = 1, missing = "notBreaching"
    }
    api-slow = {
      says       = "One request in a hundred takes longer than latency_alarm_seconds."
      namespace  = "AWS/ApplicationELB", metric = "TargetResponseTime", dimensions = local.load_balancer
      percentile = "p99", above = var.latency_alarm_seconds, period = 300, periods = 3, missing = "notBreaching"
    }
    api-unhealthy = {
      says      = "An API task fails its health check: /readyz says whether it is the database."
      namespace = "AWS/ApplicationELB", metric = "UnHealthyHostCount", dimensions = local.target_group
      statistic = "Maximum", above = 0, period = 60, periods = 5, missing = "notBreaching"
    }
  }

  replica_alarms = {
    replica-behind = {
      says       = "The replica is more than a minute behind: its readers get older answers."
      namespace  = "AWS/RDS", metric = "ReplicaLag"
      dimensions = { DBInstanceIdentifier = one(aws_db_instance.replica[*].identifier) }
      statistic  = "Maximum", above = 60, period = 60, periods = 5, missing = "breaching"
    }
  }

  alarms = merge(
    local.common_alarms,
    { for name, alarm in local.load_balancer_alarms : name => alarm if var.enable_load_balancer },
    { for name, alarm in local.replica_alarms : name => alarm if var.database_replica },
  )
}

resource "aws_cloudwatch_metric_alarm" "alarm" {
  for_each = local.alarms

  alarm_name          = "${local.name}-${each.key}"
  alarm_description   = each.value.says
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = try(each.value.statistic, null)
  extended_statistic  = try(each.value.percentile, null)
  comparison_operator = can(each.value.above) ? "GreaterThanThreshold" : "LessThanThreshold"
  threshold           = try(each.value.above, each.value.below)
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}
