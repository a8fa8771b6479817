-- Keeps the session, and so the leadership, while there is nothing else to ask.
SELECT 1
