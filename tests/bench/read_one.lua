-- Random products of those whose ids stand in the file IDS. The requests are made once: the generator must not take the machine.
local requests = {}
init = function()
	for line in io.lines(os.getenv("IDS")) do
		requests[#requests + 1] = wrk.format("GET", "/api/products/" .. line)
	end
	math.randomseed(os.time())
end
request = function()
	return requests[math.random(#requests)]
end
