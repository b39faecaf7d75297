"""A pipeline of two experiments, for tests of the code shared by pipelines."""
