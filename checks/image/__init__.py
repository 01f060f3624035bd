"""`make image-check`: build the image and prove what docs/deployment.md says of it."""
