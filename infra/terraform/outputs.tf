# What the deploy script and people need; nothing here is secret.

output "region" {
  description = "Region of everything."
  value       = var.region
}

output "cluster_name" {
  description = "ECS cluster."
  value       = aws_ecs_cluster.main.name
}

output "service_names" {
  description = "ECS services that a deploy updates."
  value       = { api = aws_ecs_service.api.name, collector = aws_ecs_service.collector.name }
}

output "task_families" {
  description = "Task definition family of each kind of task."
  value       = { for name, task in aws_ecs_task_definition.task : name => task.family }
}

output "private_subnet_ids" {
  description = "Subnets that tasks run in."
  value       = aws_subnet.private[*].id
}

output "security_group_ids" {
  description = "Security group of each kind of task."
  value       = { for name, task in local.tasks : name => local.task_groups[task.group] }
}

output "ecr_repository_url" {
  description = "Where images are pushed; a tag is a commit."
  value       = aws_ecr_repository.app.repository_url
}

output "image_parameter_name" {
  description = "SSM parameter that the deploy script writes the deployed image into."
  value       = aws_ssm_parameter.image.name
}

output "base_url" {
  description = "Where the API answers: under the first of domain_names, else under the load balancer's name; null without a load balancer."
  value       = var.enable_load_balancer ? "${var.certificate_arn == null ? "http" : "https"}://${coalescelist(var.domain_names, aws_lb.main[*].dns_name)[0]}" : null
}

output "load_balancer_dns_name" {
  description = "Name to point a CNAME or alias record at; null without a load balancer."
  value       = one(aws_lb.main[*].dns_name)
}

output "load_balancer_zone_id" {
  description = "Hosted zone of that name, for a Route 53 alias; null without a load balancer."
  value       = one(aws_lb.main[*].zone_id)
}

output "target_group_arn" {
  description = "Target group of the API; null without a load balancer."
  value       = one(aws_lb_target_group.api[*].arn)
}

output "log_groups" {
  description = "Log group of each kind of task."
  value       = { for name, group in aws_cloudwatch_log_group.task : name => group.name }
}

output "secret_names" {
  description = "Secrets whose values the operator puts, by setting."
  value       = { for setting, secret in aws_secretsmanager_secret.setting : setting => secret.name }
}

output "database_address" {
  description = "Host of PostgreSQL, reachable by tasks only."
  value       = aws_db_instance.main.address
}

output "alarm_topic_arn" {
  description = "SNS topic of all alarms."
  value       = aws_sns_topic.alarms.arn
}

output "schedule_names" {
  description = "EventBridge schedules."
  value       = { for name, schedule in aws_scheduler_schedule.task : name => schedule.name }
}

output "github_role_arns" {
  description = "Roles that GitHub's jobs assume: plan, apply, deploy; empty without github_repository."
  value       = { for name, role in aws_iam_role.github : name => role.arn }
}
