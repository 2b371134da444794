"""Places to measure: a Dask cluster, and jobs of Slurm with a Dask worker each."""
