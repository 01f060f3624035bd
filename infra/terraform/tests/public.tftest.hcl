# Nothing but the load balancer can be reached from the internet.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "nothing_public_but_the_load_balancer" {
  command = apply

  assert {
    condition     = aws_lb.main[0].internal == false && toset(aws_lb.main[0].subnets) == toset(aws_subnet.public[*].id)
    error_message = "The load balancer is not where the internet reaches it."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.clients : rule.security_group_id == aws_security_group.load_balancer[0].id])
    error_message = "A rule lets address ranges into something else than the load balancer."
  }

  assert {
    condition = alltrue([
      for rule in concat(
        values(aws_vpc_security_group_ingress_rule.database_from_task),
        values(aws_vpc_security_group_ingress_rule.cache_from_task),
        values(aws_vpc_security_group_ingress_rule.endpoints_from_task),
        aws_vpc_security_group_ingress_rule.api_from_load_balancer,
      ) : rule.cidr_ipv4 == null && rule.cidr_ipv6 == null && rule.prefix_list_id == null && rule.referenced_security_group_id != null
    ])
    error_message = "A rule inside lets in an address range instead of a group."
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.clients : rule.from_port]) == toset(var.certificate_arn == null ? [80] : [80, 443])
    error_message = "The load balancer is open at other ports than its listeners'."
  }

  assert {
    condition     = alltrue([for service in [aws_ecs_service.api, aws_ecs_service.collector] : !service.network_configuration[0].assign_public_ip])
    error_message = "A service gives its tasks public addresses."
  }

  assert {
    condition     = alltrue([for service in [aws_ecs_service.api, aws_ecs_service.collector] : toset(service.network_configuration[0].subnets) == toset(aws_subnet.private[*].id)])
    error_message = "A service runs outside the private subnets."
  }

  assert {
    condition     = alltrue([for schedule in aws_scheduler_schedule.task : !schedule.target[0].ecs_parameters[0].network_configuration[0].assign_public_ip])
    error_message = "A schedule gives its tasks public addresses."
  }

  assert {
    condition     = !aws_db_instance.main.publicly_accessible && alltrue([for replica in aws_db_instance.replica : !replica.publicly_accessible])
    error_message = "The database has a public address."
  }

  assert {
    condition     = alltrue([for subnet in concat(aws_subnet.public, aws_subnet.private, aws_subnet.data) : !subnet.map_public_ip_on_launch])
    error_message = "A subnet gives out public addresses."
  }

  assert {
    condition     = length(aws_default_security_group.unused.ingress) == 0 && length(aws_default_security_group.unused.egress) == 0
    error_message = "The default group lets something through."
  }

  assert {
    condition     = alltrue([for route in aws_route.nat : route.gateway_id == null && route.nat_gateway_id != null])
    error_message = "A private subnet has a route to the internet gateway."
  }

  assert {
    condition     = aws_route.internet.route_table_id == aws_route_table.public.id && aws_route.internet.gateway_id == aws_internet_gateway.main.id
    error_message = "The internet gateway serves another table than the public one."
  }

  assert {
    condition     = length(aws_route_table.data.route) == 0 && alltrue([for link in aws_route_table_association.data : link.route_table_id == aws_route_table.data.id])
    error_message = "The data subnets have a route out of the VPC."
  }

  assert {
    condition     = aws_lb.main[0].drop_invalid_header_fields && aws_lb.main[0].desync_mitigation_mode == "strictest" && aws_lb.main[0].xff_header_processing_mode == "append" && aws_lb.main[0].enable_xff_client_port != true
    error_message = "The load balancer passes on what two programs may read differently, or does not say who the client is."
  }

  assert {
    condition     = local.environment["api"].TRUSTED_PROXIES == join(",", aws_subnet.public[*].cidr_block) && local.environment["api"].ALLOWED_HOSTS == "api.example.com"
    error_message = "The API believes others than the load balancer, or answers under other names than the certificate's."
  }

  assert {
    condition     = one(aws_lb_listener_rule.closed).action[0].type == "fixed-response" && one(aws_lb_listener_rule.closed).action[0].fixed_response[0].status_code == "403"
    error_message = "A POST is let through, although collect_open is not set."
  }

  assert {
    condition     = [for condition in one(aws_lb_listener_rule.closed).condition : condition.http_request_method[0].values] == [toset(["POST"])]
    error_message = "The load balancer refuses something else than POST."
  }

  assert {
    condition     = jsondecode(one(aws_lb_listener_rule.closed).action[0].fixed_response[0].message_body).code == "forbidden"
    error_message = "The refusal is no problem as the API writes it."
  }

  assert {
    condition     = local.environment["api"].COLLECT_ACCESS == "off" && local.environment["api"].HSTS_SECONDS == "31536000" && !contains(keys(local.environment["api"]), "DOCS")
    error_message = "Without keys the API takes a POST, or HTTPS is not kept to, or the interactive page is served."
  }

  assert {
    condition     = [for name, settings in local.environment : name if length(setintersection(keys(settings), ["ALLOWED_HOSTS", "COLLECT_ACCESS", "TRUSTED_PROXIES"])) > 0] == ["api"]
    error_message = "A task that serves nothing gets settings of the API."
  }

  assert {
    condition     = [for limit in jsondecode(aws_ecs_task_definition.task["api"].container_definitions)[0].ulimits : limit if limit.name == "nofile"] == [{ name = "nofile", softLimit = 8192, hardLimit = 8192 }]
    error_message = "The API takes as many connections as Fargate happens to allow."
  }
}

run "without_a_load_balancer_nothing_is_public" {
  command = apply

  variables {
    enable_load_balancer = false
  }

  assert {
    condition     = length(aws_lb.main) + length(aws_lb_listener.http) + length(aws_lb_listener.https) + length(aws_lb_listener_rule.closed) + length(aws_lb_target_group.api) == 0
    error_message = "A part of the load balancer is left."
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.clients) + length(aws_vpc_security_group_ingress_rule.api_from_load_balancer) == 0
    error_message = "A door is left open for clients."
  }

  assert {
    condition     = length(aws_ecs_service.api.load_balancer) == 0 && output.base_url == null && output.load_balancer_dns_name == null
    error_message = "Something still refers to the load balancer."
  }

  assert {
    condition     = !contains(keys(local.environment["api"]), "TRUSTED_PROXIES")
    error_message = "The API believes a load balancer that is not there."
  }

  assert {
    condition     = length(setintersection(keys(aws_cloudwatch_metric_alarm.alarm), ["api-5xx", "api-slow", "api-unhealthy", "load-balancer-5xx"])) == 0
    error_message = "An alarm waits for a load balancer that is not there."
  }

  assert {
    condition     = alltrue([for name in ["requests-failed", "api-tasks-missing"] : contains(keys(aws_cloudwatch_metric_alarm.alarm), name)])
    error_message = "Without a load balancer nobody notices failed requests or missing tasks."
  }
}

run "a_certificate_brings_https_and_http_only_redirects" {
  command = apply

  variables {
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
  }

  assert {
    condition     = aws_lb_listener.http[0].default_action[0].type == "redirect" && aws_lb_listener.http[0].default_action[0].redirect[0].protocol == "HTTPS"
    error_message = "HTTP is not redirected to HTTPS."
  }

  assert {
    condition     = aws_lb_listener.https[0].certificate_arn == var.certificate_arn && aws_lb_listener.https[0].default_action[0].type == "forward"
    error_message = "HTTPS does not serve the API with the certificate."
  }

  assert {
    condition     = one(aws_lb_listener_rule.closed).listener_arn == aws_lb_listener.https[0].arn
    error_message = "POST is closed at another listener than the one that serves."
  }

  assert {
    condition     = can(regex("TLS13-1-2", aws_lb_listener.https[0].ssl_policy))
    error_message = "HTTPS speaks something older than TLS 1.2."
  }

  assert {
    condition     = output.base_url == "https://api.example.com"
    error_message = "The address is not one of HTTPS, or not the certificate's."
  }
}

run "without_a_certificate_http_serves" {
  command = apply

  variables {
    certificate_arn = null
    domain_names    = []
    environment     = "dev"
  }

  assert {
    condition     = aws_lb_listener.http[0].default_action[0].type == "forward" && length(aws_lb_listener.https) == 0
    error_message = "Without a certificate HTTP does not serve the API."
  }

  assert {
    condition     = one(aws_lb_listener_rule.closed).listener_arn == aws_lb_listener.http[0].arn && local.environment["api"].HSTS_SECONDS == "0"
    error_message = "POST is closed at another listener than the one that serves, or browsers are told to keep to an HTTPS that is not there."
  }

  assert {
    condition     = output.base_url == "http://${aws_lb.main[0].dns_name}" && local.environment["api"].ALLOWED_HOSTS == aws_lb.main[0].dns_name
    error_message = "The address is not one of HTTP, or the API does not answer under it."
  }
}

run "a_post_is_let_through_once_it_is_opened" {
  command = plan

  variables {
    collect_open    = true
    secret_settings = { API_KEYS = ["api"] }
  }

  assert {
    condition     = length(aws_lb_listener_rule.closed) == 0
    error_message = "The load balancer refuses the POST that it shall let through."
  }
}
