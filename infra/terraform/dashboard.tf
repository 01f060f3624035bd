locals {
  panel = { width = 12, height = 6 }

  common_panels = [
    {
      title = "What the monitor finds"
      metrics = [
        [local.metric_namespace, "MissingBuckets", { stat = "Maximum" }],
        [local.metric_namespace, "StaleSeries", { stat = "Maximum" }],
        [local.metric_namespace, "MonitorHeartbeat", { stat = "Sum" }],
      ]
    },
    {
      title = "Loads and prices"
      metrics = [
        [local.metric_namespace, "LoadFinished", { stat = "Sum" }],
        [local.metric_namespace, "LoadFailed", { stat = "Sum" }],
        [local.metric_namespace, "PricesCollected", { stat = "Sum" }],
      ]
    },
    {
      title = "API tasks: CPU and memory, percent"
      metrics = [
        ["AWS/ECS", "CPUUtilization", "ClusterName", aws_ecs_cluster.main.name, "ServiceName", "api", { stat = "Average" }],
        ["AWS/ECS", "MemoryUtilization", "ClusterName", aws_ecs_cluster.main.name, "ServiceName", "api", { stat = "Maximum" }],
      ]
    },
    {
      title = "Running tasks"
      metrics = [
        ["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", aws_ecs_cluster.main.name, "ServiceName", "api", { stat = "Minimum" }],
        ["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", aws_ecs_cluster.main.name, "ServiceName", "collector", { stat = "Minimum" }],
      ]
    },
    {
      title = "Database: CPU and connections"
      metrics = [
        ["AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", aws_db_instance.main.identifier, { stat = "Average" }],
        ["AWS/RDS", "DatabaseConnections", "DBInstanceIdentifier", aws_db_instance.main.identifier, { stat = "Maximum", yAxis = "right" }],
      ]
    },
    {
      title = "Database: free storage"
      metrics = [
        ["AWS/RDS", "FreeStorageSpace", "DBInstanceIdentifier", aws_db_instance.main.identifier, { stat = "Minimum" }],
      ]
    },
    {
      title = "Memcached"
      metrics = [
        ["AWS/ElastiCache", "GetHits", "CacheClusterId", aws_elasticache_cluster.main.cluster_id, { stat = "Sum" }],
        ["AWS/ElastiCache", "GetMisses", "CacheClusterId", aws_elasticache_cluster.main.cluster_id, { stat = "Sum" }],
        ["AWS/ElastiCache", "Evictions", "CacheClusterId", aws_elasticache_cluster.main.cluster_id, { stat = "Sum", yAxis = "right" }],
      ]
    },
  ]

  load_balancer_panels = [
    {
      title = "Requests and errors"
      metrics = [
        ["AWS/ApplicationELB", "RequestCount", "LoadBalancer", one(aws_lb.main[*].arn_suffix), { stat = "Sum" }],
        ["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "LoadBalancer", one(aws_lb.main[*].arn_suffix), { stat = "Sum", yAxis = "right" }],
        ["AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "LoadBalancer", one(aws_lb.main[*].arn_suffix), { stat = "Sum", yAxis = "right" }],
      ]
    },
    {
      title = "Reply times, seconds"
      metrics = [
        ["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", one(aws_lb.main[*].arn_suffix), { stat = "p50" }],
        ["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", one(aws_lb.main[*].arn_suffix), { stat = "p99" }],
      ]
    },
  ]

  panels = concat([for panel in local.load_balancer_panels : panel if var.enable_load_balancer], local.common_panels)
}

resource "aws_cloudwatch_dashboard" "main" {
  dashboard_name = local.name

  dashboard_body = jsonencode({
    widgets = [
      for place, panel in local.panels : {
        type   = "metric"
        x      = local.panel.width * (place % 2)
        y      = local.panel.height * floor(place / 2)
        width  = local.panel.width
        height = local.panel.height
        properties = {
          title   = panel.title
          metrics = panel.metrics
          region  = var.region
          view    = "timeSeries"
          period  = 300
        }
      }
    ]
  })
}
