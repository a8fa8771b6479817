-- Random paths from the file PATHS. All requests are made once, at the start, to save CPU.
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
