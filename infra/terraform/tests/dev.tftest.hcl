# dev.tfvars plans, small and easy to throw away.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "dev_plans" {
  command = plan

  assert {
    condition     = var.environment == "dev" && local.name == "mms-dev"
    error_message = "This is not dev."
  }

  assert {
    condition     = length(aws_nat_gateway.main) == 1 && aws_elasticache_cluster.main.num_cache_nodes == 1 && !aws_db_instance.main.multi_az && aws_appautoscaling_target.api.min_capacity == 1
    error_message = "dev is bigger than it needs to be."
  }

  assert {
    condition     = !aws_db_instance.main.deletion_protection && aws_db_instance.main.skip_final_snapshot && !aws_lb.main[0].enable_deletion_protection && aws_ecr_repository.app.force_delete && aws_secretsmanager_secret.database_password.recovery_window_in_days == 0
    error_message = "dev cannot be destroyed and made again."
  }

  assert {
    condition     = aws_db_instance.main.storage_encrypted && aws_db_instance.main.backup_retention_period >= 1
    error_message = "dev's database is not encrypted or not backed up."
  }
}

# The rules over every resource (checks/infra/rules.py) look at what this run leaves.
run "dev_applies" {
  command = apply

  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.subnet_ids == toset([aws_subnet.private[0].id])])
    error_message = "Endpoints are in two zones, and cost twice as much."
  }
}
