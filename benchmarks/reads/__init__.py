"""What a read costs, beside a bare server that sends the same bytes and beside a naive service."""
