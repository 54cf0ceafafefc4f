"""The installer's laptop tool."""
