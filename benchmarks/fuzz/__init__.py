"""Looking for input that breaks a parser or the API: `make fuzz`."""
