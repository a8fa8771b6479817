-- Runs SCRIPT at a moderate load: each connection waits PACE_MS on average between two requests.
dofile(os.getenv("SCRIPT"))
local pace = tonumber(os.getenv("PACE_MS"))
function delay()
	return math.random(0, 2 * pace)
end
