"""What readers of annotation files share."""
