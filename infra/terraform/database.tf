locals {
  database_port = 5432
  database_name = "mms"
  database_user = "mms"

  # No password: libpq takes it from PGPASSWORD. TLS is demanded by both sides (rds.force_ssl).
  database_url = "postgresql://${local.database_user}@${aws_db_instance.main.address}:${local.database_port}/${local.database_name}?sslmode=require"
  database_read_url = var.database_replica ? (
    "postgresql://${local.database_user}@${aws_db_instance.replica[0].address}:${local.database_port}/${local.database_name}?sslmode=require"
  ) : null
}

resource "aws_db_subnet_group" "main" {
  name       = local.name
  subnet_ids = aws_subnet.data[*].id
}

resource "aws_db_parameter_group" "main" {
  name        = "${local.name}-postgres${var.database_version}"
  family      = "postgres${var.database_version}"
  description = "PostgreSQL of ${local.name}"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  # Who changed the schema, and what took longer than a second; never the statements of every read.
  parameter {
    name  = "log_statement"
    value = "ddl"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "main" {
  identifier     = local.name
  engine         = "postgres"
  engine_version = var.database_version
  instance_class = var.database_class
  db_name        = local.database_name
  username       = local.database_user
  port           = local.database_port

  # Write-only: the password is in neither the plan nor the state (secrets.tf).
  password_wo         = module.database_password.value
  password_wo_version = var.database_password_version

  storage_type          = "gp3"
  allocated_storage     = var.database_storage_gb
  max_allocated_storage = var.database_max_storage_gb
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.data.arn

  multi_az               = var.database_multi_az
  db_subnet_group_name   = aws_db_subnet_group.main.name
  vpc_security_group_ids = [aws_security_group.database.id]
  publicly_accessible    = false
  parameter_group_name   = aws_db_parameter_group.main.name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  backup_retention_period    = var.database_backup_days
  backup_window              = "02:00-03:00" # after the daily load
  maintenance_window         = "sun:03:30-sun:04:30"
  auto_minor_version_upgrade = true
  copy_tags_to_snapshot      = true
  deletion_protection        = var.deletion_protection
  skip_final_snapshot        = !var.deletion_protection
  final_snapshot_identifier  = var.deletion_protection ? "${local.name}-final" : null
  # Kept for database_backup_days after the instance is gone, by whatever mistake.
  delete_automated_backups = false

  # For people: who is granted rds_iam signs in as themselves, so that nobody needs the password.
  iam_database_authentication_enabled = true

  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.database_monitoring.arn
  performance_insights_enabled          = true
  performance_insights_retention_period = 7 # what costs nothing
  performance_insights_kms_key_id       = aws_kms_key.data.arn

  depends_on = [aws_cloudwatch_log_group.database]
}

# Reads of the API, by DB_READ_URL. Writes and migrations stay with the primary.
resource "aws_db_instance" "replica" {
  count = var.database_replica ? 1 : 0

  identifier             = "${local.name}-replica"
  replicate_source_db    = aws_db_instance.main.identifier
  instance_class         = var.database_class
  storage_type           = "gp3"
  max_allocated_storage  = var.database_max_storage_gb
  storage_encrypted      = true
  kms_key_id             = aws_kms_key.data.arn
  vpc_security_group_ids = [aws_security_group.database.id]
  publicly_accessible    = false
  parameter_group_name   = aws_db_parameter_group.main.name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  maintenance_window         = "sun:04:30-sun:05:30"
  auto_minor_version_upgrade = true
  copy_tags_to_snapshot      = true
  deletion_protection        = var.deletion_protection
  skip_final_snapshot        = true # it holds nothing that the primary does not

  iam_database_authentication_enabled = true

  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.database_monitoring.arn
  performance_insights_enabled          = true
  performance_insights_retention_period = 7
  performance_insights_kms_key_id       = aws_kms_key.data.arn

  depends_on = [aws_cloudwatch_log_group.database]
}
