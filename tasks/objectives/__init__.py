"""What a task is: how it is learned, and how it is judged. The chain asks these and knows no task itself.

Two sides, as the gate and the report need no torch: `learning.py` is asked by loop, compressors and export,
`judging.py` by evaluation, gate, report and serving. A task is a folder here with a file for each side.
"""
