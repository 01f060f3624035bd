"""What proves the image and the laptop stack: they are built, run and judged, not only written."""
