"""Which version is served: promoted and rolled back on evidence, with a history of it."""
