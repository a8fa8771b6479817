-- What a new leader needs to know: the name of the space that transaction ids belong to.
SELECT products_source()
