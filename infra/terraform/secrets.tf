# Nothing secret is in a variable, a plan or the state. The database's password and the cache's secret are
# drawn while Terraform applies, go to where they belong by write-only arguments, and are forgotten. The
# values of secret_settings are put by the operator; Terraform makes the empty boxes.

# The provider's own ephemeral generator does the same by a call, but a mocked provider has none: with it
# nothing of this stack could be tested.
module "database_password" {
  source = "./password"
  drawn  = [uuid(), uuid()]
}

resource "aws_secretsmanager_secret" "database_password" {
  #checkov:skip=CKV2_AWS_57: A task reads its password once, at its start: rotation at an hour of its own would cut off running tasks. database_password_version rotates it together with a deploy.
  name                    = "${local.name}/database-password"
  description             = "Password of PostgreSQL's user ${local.database_user}"
  kms_key_id              = aws_kms_key.data.arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0
}

# After the database: should that fail, the next run sets both again. Raise database_password_version
# to draw a new password, or should the two ever disagree.
resource "aws_secretsmanager_secret_version" "database_password" {
  secret_id                = aws_secretsmanager_secret.database_password.id
  secret_string_wo         = module.database_password.value
  secret_string_wo_version = var.database_password_version

  depends_on = [aws_db_instance.main]
}

# What all tasks share that use Memcached (CACHE_SECRET), so that nobody else's entries count.
module "cache_secret" {
  source = "./password"
  drawn  = [uuid(), uuid()]
}

resource "aws_secretsmanager_secret" "cache_secret" {
  #checkov:skip=CKV2_AWS_57: A task reads it once, at its start, and tasks with different ones share no entries. cache_secret_version rotates it together with a deploy.
  name                    = "${local.name}/cache-secret"
  description             = "Setting CACHE_SECRET: the key of Memcached's entries"
  kms_key_id              = aws_kms_key.data.arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0
}

resource "aws_secretsmanager_secret_version" "cache_secret" {
  secret_id                = aws_secretsmanager_secret.cache_secret.id
  secret_string_wo         = module.cache_secret.value
  secret_string_wo_version = var.cache_secret_version
}

resource "aws_secretsmanager_secret" "setting" {
  #checkov:skip=CKV2_AWS_57: These are keys that other companies issue, and digests of keys that clients hold; no function here could make a new one.
  for_each = var.secret_settings

  name                    = "${local.name}/${lower(replace(each.key, "_", "-"))}"
  description             = "Setting ${each.key} of ${join(", ", each.value)}"
  kms_key_id              = aws_kms_key.data.arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0
}
