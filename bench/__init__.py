"""What personhood does in a second, each figure beside its floor: the same work without us.

`python -m bench.run` (or `make bench`) makes scratch databases (`site`), starts a real
`personhood serve` on each, and runs measurements against it (`ingest`, `single`, `lookup`, `merge`,
`listing`), each in turn with its floor, several rounds. `load` is the client, `usage` counts the
processor time that each side took, `report` is the table and the JSON file. `profile` tells where
the time goes. What the figures were: docs/performance.md.
"""
