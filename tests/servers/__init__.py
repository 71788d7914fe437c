"""Stores for the tests to talk to: real servers, on free ports of 127.0.0.1, one file each."""
