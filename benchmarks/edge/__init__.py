"""What attackers and crowds get, and what others notice of it."""
