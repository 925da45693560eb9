"""What happens later, or again and again: jobs in the database's own queue.

A job commits together with its cause, is bounded, may be killed at any line, and may run twice.
"""
