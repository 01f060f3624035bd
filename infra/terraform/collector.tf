# One collector at a time: the old one ends before the new one starts, so that a deploy makes no call
# to CoinGecko twice. A slot that is missed meanwhile is said in its log.

resource "aws_ecs_service" "collector" {
  name                    = "collector"
  cluster                 = aws_ecs_cluster.main.id
  task_definition         = aws_ecs_task_definition.task["collector"].arn
  launch_type             = "FARGATE"
  platform_version        = "LATEST"
  desired_count           = 1
  propagate_tags          = "TASK_DEFINITION"
  enable_ecs_managed_tags = true

  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = aws_subnet.private[*].id
    security_groups  = [aws_security_group.worker.id]
    assign_public_ip = false
  }

  lifecycle {
    ignore_changes = [task_definition, desired_count]
  }

  depends_on = [aws_iam_role_policy.execution]
}
