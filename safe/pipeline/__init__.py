"""Code shared by pipelines: experiments, jobs, digests, and the run for the Snakefile."""
