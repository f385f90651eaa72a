"""Promises that don't hold yet, each with its reason; not collected: pytest tests/cluster/known_bugs.py."""
