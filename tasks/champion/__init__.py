"""What the model that is served now makes of this run's test split."""
