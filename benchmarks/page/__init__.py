"""What the page costs a browser: bytes, and the time to its first drawing."""
