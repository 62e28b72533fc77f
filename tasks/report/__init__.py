"""What the person sees at the end: `report.json`, `report.html` and the table in the terminal."""
