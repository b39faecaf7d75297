"""What pipelines share: experiments, jobs, digests, and what the Snakefile needs of a run."""
