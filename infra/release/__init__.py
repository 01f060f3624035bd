"""What the pipeline does before a deployment: who it is, Terraform, the image, its scan."""
