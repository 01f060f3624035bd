# Memcached keeps rendered series; losing it costs speed and nothing else. It has no password and is
# not encrypted on the way: it holds published averages, and its group lets tasks in, nobody else. What
# somebody else stores there counts for nothing: each entry is signed with CACHE_SECRET.

locals {
  cache_port = 11211
  cache_url  = "memcached://${join(",", [for node in aws_elasticache_cluster.main.cache_nodes : "${node.address}:${node.port}"])}"
}

resource "aws_elasticache_subnet_group" "main" {
  name       = local.name
  subnet_ids = aws_subnet.data[*].id
}

resource "aws_elasticache_cluster" "main" {
  cluster_id           = local.name
  engine               = "memcached"
  engine_version       = "1.6.22"
  node_type            = var.cache_node_type
  num_cache_nodes      = var.cache_nodes
  az_mode              = var.cache_nodes > 1 ? "cross-az" : "single-az"
  port                 = local.cache_port
  parameter_group_name = "default.memcached1.6"
  subnet_group_name    = aws_elasticache_subnet_group.main.name
  security_group_ids   = [aws_security_group.cache.id]
  maintenance_window   = "sun:05:00-sun:06:00"
}
