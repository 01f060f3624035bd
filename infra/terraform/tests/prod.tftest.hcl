# prod.tfvars plans, and is what production must be.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "prod_plans" {
  command = plan

  assert {
    condition     = var.environment == "prod" && local.name == "mms-prod"
    error_message = "This is not prod."
  }

  assert {
    condition     = aws_db_instance.main.storage_encrypted && aws_db_instance.main.multi_az && aws_db_instance.main.backup_retention_period >= 7
    error_message = "The database is not encrypted, not in two zones, or not backed up for a week."
  }

  assert {
    condition     = aws_db_instance.main.deletion_protection && !aws_db_instance.main.skip_final_snapshot && !aws_db_instance.main.delete_automated_backups && aws_lb.main[0].enable_deletion_protection && !aws_ecr_repository.app.force_delete
    error_message = "Production can be deleted by one command."
  }

  assert {
    condition     = aws_elasticache_cluster.main.num_cache_nodes == 2 && aws_elasticache_cluster.main.az_mode == "cross-az"
    error_message = "Memcached has not two nodes in two zones."
  }

  assert {
    condition     = aws_ecs_service.api.desired_count >= 2 && aws_appautoscaling_target.api.min_capacity >= 2
    error_message = "One API task that fails is an outage."
  }

  assert {
    condition     = aws_secretsmanager_secret.database_password.recovery_window_in_days == 30 && aws_kms_key.data.deletion_window_in_days == 30
    error_message = "A deleted secret or key cannot be brought back for a month."
  }
}

# The rules over every resource (checks/infra/rules.py) look at what this run leaves.
run "prod_applies" {
  command = apply

  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.subnet_ids == toset(aws_subnet.private[*].id)])
    error_message = "Endpoints are in one zone only."
  }
}

run "prod_without_a_certificate_is_warned" {
  command = plan

  variables {
    certificate_arn = null
  }

  expect_failures = [check.https]
}
