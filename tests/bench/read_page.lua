-- Pages of 50 after a random product. The requests are made once: the generator must not take the machine.
local requests = {}
init = function()
	for line in io.lines(os.getenv("IDS")) do
		requests[#requests + 1] = wrk.format("GET", "/api/products?limit=50&cursor=" .. line)
	end
	math.randomseed(os.time())
end
request = function()
	return requests[math.random(#requests)]
end
