"""Public dataset layouts read into one `Sample`; the miniature world; audits; mixing; feature cache."""
