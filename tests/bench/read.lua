-- Random paths of those in the file PATHS. The requests are made once: the generator must not take the machine.
local requests = {}
init = function()
	for path in io.lines(os.getenv("PATHS")) do
		requests[#requests + 1] = wrk.format("GET", path)
	end
	math.randomseed(os.time())
end
request = function()
	return requests[math.random(#requests)]
end
