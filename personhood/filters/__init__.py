"""Property filters (contract: persons-api, 2.2): what a client sends, as a tree of plain values.

Pure. `reading` makes the `tree`, `moments` and `versions` read what stands in it; the SQL of a tree
is `store.property_filter`.
"""
