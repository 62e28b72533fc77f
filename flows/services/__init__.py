"""`hone up`: the servers a laptop needs, as processes of one person below one folder."""
