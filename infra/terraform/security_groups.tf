# Who may open a connection to whom. Groups name each other, never address ranges, but for the two ways
# out of the VPC: the load balancer's clients and the exchanges.
#
#   clients ─▶ load balancer ─▶ api ─┬─▶ database, cache, endpoints, exchanges
#                            worker ─┘
#                           migrate ───▶ database, endpoints

resource "aws_security_group" "load_balancer" {
  count = var.enable_load_balancer ? 1 : 0

  name        = "${local.name}-load-balancer"
  description = "The load balancer: the only thing that the internet reaches"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${local.name}-load-balancer" }
}

resource "aws_security_group" "api" {
  name        = "${local.name}-api"
  description = "API tasks: reached by the load balancer only"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${local.name}-api" }
}

resource "aws_security_group" "worker" {
  name        = "${local.name}-worker"
  description = "Loaders, collector and monitor: reached by nobody"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${local.name}-worker" }
}

resource "aws_security_group" "migrate" {
  #checkov:skip=CKV2_AWS_5: The deploy script attaches it when it runs the migration; nothing that runs for good has it.
  name        = "${local.name}-migrate"
  description = "The migration: reached by nobody, reaches the database only"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${local.name}-migrate" }
}

resource "aws_security_group" "database" {
  name        = "${local.name}-database"
  description = "PostgreSQL: reached by tasks only"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${local.name}-database" }
}

resource "aws_security_group" "cache" {
  name        = "${local.name}-cache"
  description = "Memcached: reached by tasks only"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${local.name}-cache" }
}

resource "aws_security_group" "endpoints" {
  name        = "${local.name}-endpoints"
  description = "Interface endpoints: reached by tasks only"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${local.name}-endpoints" }
}

locals {
  task_groups = {
    api     = aws_security_group.api.id
    worker  = aws_security_group.worker.id
    migrate = aws_security_group.migrate.id
  }

  # The migration needs neither the cache nor the exchanges.
  serving_groups = { for name, id in local.task_groups : name => id if name != "migrate" }

  public_ports = var.certificate_arn == null ? [80] : [80, 443]

  client_rules = var.enable_load_balancer ? {
    for pair in setproduct(var.allowed_cidrs, local.public_ports) :
    "${pair[0]}-${pair[1]}" => { cidr = pair[0], port = pair[1] }
  } : {}
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = local.client_rules

  security_group_id = aws_security_group.load_balancer[0].id
  description       = each.value.port == 443 ? "HTTPS from clients" : "HTTP from clients"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "load_balancer_to_api" {
  count = var.enable_load_balancer ? 1 : 0

  security_group_id            = aws_security_group.load_balancer[0].id
  description                  = "To the API"
  referenced_security_group_id = aws_security_group.api.id
  ip_protocol                  = "tcp"
  from_port                    = local.api_port
  to_port                      = local.api_port
}

resource "aws_vpc_security_group_ingress_rule" "api_from_load_balancer" {
  count = var.enable_load_balancer ? 1 : 0

  security_group_id            = aws_security_group.api.id
  description                  = "From the load balancer"
  referenced_security_group_id = aws_security_group.load_balancer[0].id
  ip_protocol                  = "tcp"
  from_port                    = local.api_port
  to_port                      = local.api_port
}

resource "aws_vpc_security_group_egress_rule" "task_to_database" {
  for_each = local.task_groups

  security_group_id            = each.value
  description                  = "To PostgreSQL"
  referenced_security_group_id = aws_security_group.database.id
  ip_protocol                  = "tcp"
  from_port                    = local.database_port
  to_port                      = local.database_port
}

resource "aws_vpc_security_group_ingress_rule" "database_from_task" {
  for_each = local.task_groups

  security_group_id            = aws_security_group.database.id
  description                  = "From ${each.key} tasks"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.database_port
  to_port                      = local.database_port
}

resource "aws_vpc_security_group_egress_rule" "task_to_cache" {
  for_each = local.serving_groups

  security_group_id            = each.value
  description                  = "To Memcached"
  referenced_security_group_id = aws_security_group.cache.id
  ip_protocol                  = "tcp"
  from_port                    = local.cache_port
  to_port                      = local.cache_port
}

resource "aws_vpc_security_group_ingress_rule" "cache_from_task" {
  for_each = local.serving_groups

  security_group_id            = aws_security_group.cache.id
  description                  = "From ${each.key} tasks"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.cache_port
  to_port                      = local.cache_port
}

resource "aws_vpc_security_group_egress_rule" "task_to_endpoints" {
  for_each = local.task_groups

  security_group_id            = each.value
  description                  = "To ECR, logs and secrets"
  referenced_security_group_id = aws_security_group.endpoints.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_ingress_rule" "endpoints_from_task" {
  for_each = local.task_groups

  security_group_id            = aws_security_group.endpoints.id
  description                  = "From ${each.key} tasks"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "task_to_layers" {
  for_each = local.task_groups

  security_group_id = each.value
  description       = "To the layers of images in S3"
  prefix_list_id    = aws_vpc_endpoint.s3.prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# The exchanges stand behind content networks whose addresses change, so no narrower range holds. The
# API needs this, too: POST /collect-once asks CoinGecko.
resource "aws_vpc_security_group_egress_rule" "task_to_exchanges" {
  for_each = local.serving_groups

  security_group_id = each.value
  description       = "To Mercado Bitcoin and CoinGecko"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
