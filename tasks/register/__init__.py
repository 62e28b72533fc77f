"""An accepted model becomes a version in MLflow's registry."""
