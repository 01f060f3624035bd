# Memcached and PostgreSQL are reached by tasks, and by nobody else.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "memcached_and_the_database_are_reached_by_tasks_only" {
  command = apply

  assert {
    condition     = aws_db_instance.main.vpc_security_group_ids == toset([aws_security_group.database.id])
    error_message = "The database has another group than its own."
  }

  assert {
    condition     = aws_elasticache_cluster.main.security_group_ids == toset([aws_security_group.cache.id])
    error_message = "Memcached has another group than its own."
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.database_from_task : rule.referenced_security_group_id]) == toset([aws_security_group.api.id, aws_security_group.worker.id, aws_security_group.migrate.id])
    error_message = "The database lets in others than the tasks."
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.cache_from_task : rule.referenced_security_group_id]) == toset([aws_security_group.api.id, aws_security_group.worker.id])
    error_message = "Memcached lets in others than the tasks that use it."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.database_from_task : rule.security_group_id == aws_security_group.database.id && rule.from_port == 5432 && rule.to_port == 5432 && rule.ip_protocol == "tcp"])
    error_message = "The database is open at other ports than its own."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.cache_from_task : rule.security_group_id == aws_security_group.cache.id && rule.from_port == 11211 && rule.to_port == 11211 && rule.ip_protocol == "tcp"])
    error_message = "Memcached is open at other ports than its own."
  }

  assert {
    condition = alltrue([
      for group in [aws_security_group.api, aws_security_group.worker, aws_security_group.migrate, aws_security_group.database, aws_security_group.cache, aws_security_group.endpoints] :
      length(group.ingress) == 0 && length(group.egress) == 0
    ])
    error_message = "A group has rules of its own beside those that are checked here."
  }

  assert {
    condition     = aws_db_subnet_group.main.subnet_ids == toset(aws_subnet.data[*].id) && aws_elasticache_subnet_group.main.subnet_ids == toset(aws_subnet.data[*].id)
    error_message = "The database or Memcached is outside the data subnets."
  }

  assert {
    condition     = length(distinct(aws_subnet.data[*].availability_zone)) == 2 && length(distinct(aws_subnet.private[*].availability_zone)) == 2 && length(distinct(aws_subnet.public[*].availability_zone)) == 2
    error_message = "A tier of subnets is in one zone only."
  }

  assert {
    condition     = length(distinct(local.subnet_cidrs)) == 6
    error_message = "Two subnets have the same addresses."
  }

  assert {
    condition     = aws_ecs_service.api.network_configuration[0].security_groups == toset([aws_security_group.api.id]) && aws_ecs_service.collector.network_configuration[0].security_groups == toset([aws_security_group.worker.id])
    error_message = "A service runs with another group than the one that is let in."
  }

  assert {
    condition     = length(aws_vpc_security_group_egress_rule.task_to_exchanges) == 2 && !contains(keys(aws_vpc_security_group_egress_rule.task_to_exchanges), "migrate")
    error_message = "The migration reaches the internet."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_egress_rule.task_to_exchanges : rule.from_port == 443 && rule.to_port == 443])
    error_message = "A task reaches the internet by something else than HTTPS."
  }

  assert {
    condition     = toset([for endpoint in aws_vpc_endpoint.interface : endpoint.service_name]) == toset([for service in ["ecr.api", "ecr.dkr", "logs", "secretsmanager"] : "com.amazonaws.${var.region}.${service}"])
    error_message = "A task needs the NAT gateway to start."
  }

  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled]) && aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && aws_vpc_endpoint.s3.route_table_ids == toset(aws_route_table.private[*].id)
    error_message = "An endpoint is there and not used."
  }

  assert {
    condition     = length(setunion(aws_nat_gateway.main[*].subnet_id, aws_subnet.public[*].id)) == 2
    error_message = "A NAT gateway is outside the public subnets."
  }
}
