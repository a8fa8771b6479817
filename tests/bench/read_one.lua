-- Random products of those whose ids stand in the file IDS.
local ids = {}
for line in io.lines(os.getenv("IDS")) do ids[#ids + 1] = "/api/products/" .. line end
math.randomseed(os.time())
request = function()
	return wrk.format("GET", ids[math.random(#ids)])
end
