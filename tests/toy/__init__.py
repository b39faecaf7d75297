"""A pipeline of two experiments, for the tests of what pipelines share."""
