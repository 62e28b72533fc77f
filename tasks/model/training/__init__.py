"""The one training loop, what it trains, and how a job travels to workers and goes on after a kill."""
