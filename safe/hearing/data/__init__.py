"""Public dataset layouts read into one `Sample`; miniature world; audits; mixing; cache."""
