# Plain HTTP until certificate_arn is given; from then on HTTPS, and HTTP only redirects to it.

resource "aws_lb" "main" {
  #checkov:skip=CKV_AWS_91: The API logs each request itself (http_request), without clients' addresses, and alarms count what never reaches it; a second log would only keep personal data.
  #checkov:skip=CKV2_AWS_28: The replies are public and read-only: POST is refused here (collect_open); a web ACL is 5 USD a month and 0.60 per million requests, and can be put in front by its ARN without a change here.
  #checkov:skip=CKV2_AWS_20: With certificate_arn port 80 only redirects; without one there is no HTTPS to redirect to, and prod is warned (check "https").
  count = var.enable_load_balancer ? 1 : 0

  name                       = local.name
  load_balancer_type         = "application"
  internal                   = false
  subnets                    = aws_subnet.public[*].id
  security_groups            = [aws_security_group.load_balancer[0].id]
  enable_deletion_protection = var.deletion_protection
  drop_invalid_header_fields = true
  desync_mitigation_mode     = "strictest"
  xff_header_processing_mode = "append" # the API takes the last address: what a client writes is before it
  idle_timeout               = 60       # less than KEEP_ALIVE of app/serve.py: it closes idle connections first

  # Nothing here refers to it, and AWS refuses a load balancer for the internet in a VPC without one.
  depends_on = [aws_internet_gateway.main]
}

resource "aws_lb_target_group" "api" {
  #checkov:skip=CKV_AWS_378: TLS ends at the load balancer; behind it are private subnets, and a group that lets in the load balancer only.
  count = var.enable_load_balancer ? 1 : 0

  name        = "${local.name}-api"
  vpc_id      = aws_vpc.main.id
  target_type = "ip"
  protocol    = "HTTP"
  port        = local.api_port

  # ECS sends SIGTERM once this has passed; the API then finishes what is in flight.
  deregistration_delay = 15

  # A new task takes requests once its database answers twice. One that is serving gets five minutes:
  # a restart or failover of the database takes one to two, and replacing every task meanwhile helps
  # nobody. A process that hangs is caught by the container's own check within a minute.
  health_check {
    path                = "/readyz"
    matcher             = "200"
    interval            = 30
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 10
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener" "http" {
  #checkov:skip=CKV_AWS_2: With certificate_arn this listener only redirects to HTTPS; without one there is no HTTPS, and prod is warned (check "https").
  #checkov:skip=CKV_AWS_103: A listener of plain HTTP has no TLS version; the HTTPS listener demands 1.2 or 1.3.
  count = var.enable_load_balancer ? 1 : 0

  load_balancer_arn = aws_lb.main[0].arn
  port              = 80
  protocol          = "HTTP"

  dynamic "default_action" {
    for_each = var.certificate_arn == null ? [1] : []

    content {
      type             = "forward"
      target_group_arn = aws_lb_target_group.api[0].arn
    }
  }

  dynamic "default_action" {
    for_each = var.certificate_arn == null ? [] : [1]

    content {
      type = "redirect"

      redirect {
        protocol    = "HTTPS"
        port        = "443"
        status_code = "HTTP_301"
      }
    }
  }
}

resource "aws_lb_listener" "https" {
  count = var.enable_load_balancer && var.certificate_arn != null ? 1 : 0

  load_balancer_arn = aws_lb.main[0].arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.api[0].arn
  }
}

# What changes something is closed: POST, whose one use is /collect-once. By its method, and not by its
# path: there is one way to write a method, and many to write a path.
resource "aws_lb_listener_rule" "closed" {
  count = var.enable_load_balancer && !var.collect_open ? 1 : 0

  listener_arn = one(concat(aws_lb_listener.https[*].arn, var.certificate_arn == null ? aws_lb_listener.http[*].arn : []))
  priority     = 1

  condition {
    http_request_method {
      values = ["POST"]
    }
  }

  # As the API's own problems, but for the request's id and the media type, which cannot be given here.
  action {
    type = "fixed-response"

    fixed_response {
      status_code  = "403"
      content_type = "application/json"
      message_body = jsonencode({
        type   = "urn:mms-api:error:forbidden"
        title  = "The request is not allowed"
        status = 403
        detail = "This service is read only: GET and HEAD are answered here."
        code   = "forbidden"
      })
    }
  }
}

check "https" {
  assert {
    condition     = var.environment != "prod" || !var.enable_load_balancer || var.certificate_arn != null
    error_message = "The load balancer of prod speaks plain HTTP: give it a certificate_arn (docs/deploying-aws.md)."
  }
}
