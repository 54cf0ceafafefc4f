"""Contacts and outputs behind one small port."""
