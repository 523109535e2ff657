"""MANY experiments: a grid is planned, run on local devices or by SLURM, watched and repeated where it failed."""
