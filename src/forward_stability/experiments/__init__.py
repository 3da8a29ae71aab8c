"""What was measured: data sets, training, run folders, and what is computed from them.

It imports the core and nothing of :mod:`forward_stability.book`. ``pip install
'forward-stability[train]'`` brings what it needs.
"""
