-- What a new leader needs to know. A forgotten change that comes back after a crash of the primary is only published once more, so
-- the deletes of this session need not wait for the disk.
SELECT products_source(), set_config('synchronous_commit', 'off', false)
