-- GET /rewrite/{id} and GET /dict/{id}: a job's detail as a history entry; the second one keeps it.
local cjson = require "cjson"
local _M = {}

local function entry(id)
    local answer = ngx.location.capture("/api/jobs/" .. id)
    if answer.status ~= 200 then
        ngx.exit(502)
    end
    local job = cjson.decode(answer.body)
    local targets, meta = {}, {}
    for node, item in pairs(job.workflow.prompt) do
        if item.class_type == "SaveImage" then
            targets[#targets + 1] = node
        end
    end
    table.sort(targets, function(one, other) return tonumber(one) < tonumber(other) end)
    for node in pairs(job.outputs) do
        meta[node] = { node_id = node, display_node = node, parent_node = cjson.null, real_node_id = node }
    end
    return cjson.encode({ [id] = {
        prompt = { job.priority, id, job.workflow.prompt, job.workflow.extra_data, targets },
        outputs = job.outputs,
        status = job.execution_status,
        meta = meta,
    } })
end

local function send(body)
    ngx.header["Content-Type"] = "application/json; charset=utf-8"
    ngx.header["Content-Length"] = #body
    ngx.print(body)
end

function _M.rewrite()
    send(entry(ngx.var.job))
end

function _M.dict()
    local kept = ngx.shared.entries
    local body = kept:get(ngx.var.job)
    if not body then
        body = entry(ngx.var.job)
        kept:set(ngx.var.job, body)
    end
    send(body)
end

return _M
