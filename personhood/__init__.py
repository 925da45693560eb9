"""A person store that PostHog SDKs talk to.

The folder tells the way of the data:

* `http` turns bytes into values and values into bytes;
* `capture` reads events out of a request and hands them to the ingester;
* `identity` decides, purely, whom they speak of and what becomes of that person;
* `store` keeps it: the only SQL;
* `ledger` says what changed and why;
* `api` tells it back;
* `jobs` forget it when asked.

`persons` holds the verbs: where identity, store and ledger meet in one transaction.
"""

__version__ = "0.1.0"
