"""What only the book needs: figures, sliders, tables beside the paper's, networks in the page.

It may import all the rest, and nothing imports it but the command line.
``pip install 'forward-stability[book]'`` brings what it needs.
"""
