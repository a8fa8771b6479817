-- Pages of 50 after a random product.
local ids = {}
for line in io.lines(os.getenv("IDS")) do ids[#ids + 1] = "/api/products?limit=50&cursor=" .. line end
math.randomseed(os.time())
request = function()
	return wrk.format("GET", ids[math.random(#ids)])
end
