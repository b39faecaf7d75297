"""The pipeline `hearing`: audio for a frozen vision-language model."""
