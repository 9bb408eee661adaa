"""How fast is it here, and did a change make it slower: ``python -m bench``, through public names only.

Never: assert.
"""
