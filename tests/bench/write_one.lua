-- Each request creates a product. All have the same length: only the number in the text changes.
local head, tail
init = function()
	wrk.headers["Content-Type"] = "application/json"
	local one = wrk.format("POST", "/api/products", nil, '{"name":"Product number 000000000","price":19.99,"stock":5}')
	head, tail = one:match("^(.*)000000000(.*)$")
	math.randomseed(os.time())
end
request = function()
	return head .. math.random(100000000, 999999999) .. tail
end
