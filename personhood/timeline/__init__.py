"""How a person's properties went, told by its events (contract: persons-api, 4). Pure.

`question` is what is asked, `window` for which time, `states` what the answer is grouped by.
"""
