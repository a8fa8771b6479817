"""The fault suite: do the promises hold while processes, servers and connections fail?"""
