"""Who an event speaks of and what becomes of that person: pure decisions, no clock, no I/O.

`fold` takes events in order through the rules: `merge` decides on claims, `properties` on values.
"""
