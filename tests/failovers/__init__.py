"""Failovers under load: the primary is killed, its synchronous standby promoted behind the programs' back."""
