"""`safe score`: score results files in the datasets' official formats."""
