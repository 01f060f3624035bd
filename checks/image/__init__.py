"""`make image-check`: build the image and prove what docs/deploying.md says of it."""
