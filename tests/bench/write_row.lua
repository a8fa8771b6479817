-- Each request creates a post.
local one
init = function()
	wrk.headers["Content-Type"] = "application/json"
	one = wrk.format("POST", "/api/posts", nil, '{"title":"A title","content":"Some content","userId":7}')
end
request = function()
	return one
end
