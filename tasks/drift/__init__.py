"""How the new data differ from what the champion learned from: reported before anything is trained."""
