-- A new product each.
wrk.headers["Content-Type"] = "application/json"
math.randomseed(os.time())
request = function()
	return wrk.format("POST", "/api/products", nil,
		'{"name":"Product number ' .. math.random(1, 1000000000) .. '","price":19.99,"stock":5}')
end
