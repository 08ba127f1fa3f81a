-- May a call be made now?
-- KEYS: gate (hash), pace (hash), flight (sorted set: ticket -> when its place is free again, ms)
-- ARGV: ticket, budget ms, cold places, cold ms, idle ms, poll ms, longest poll ms, narrow places, wide places
-- Returns {'go'} | {'capped', code, reason, until} | {'wait', ms, code, reason}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local gate = redis.call('HMGET', KEYS[1], 'since', 'until', 'code', 'reason')
if gate[1] then
  local closes = tonumber(gate[2]) or 0
  if closes == 0 or closes > now then
    redis.call('HINCRBY', KEYS[1], 'turned_away', 1)
    return {'capped', gate[3] or '', gate[4] or '', tostring(closes)}
  end
end

local pace = redis.call('HMGET', KEYS[2], 'hold', 'places', 'well', 'width', 'code', 'reason', 'peak')
local code, reason = pace[5] or '', pace[6] or ''
local hold = tonumber(pace[1]) or 0
if hold > now then
  return {'wait', tostring(hold - now), code, reason}
end

-- How many calls may be in flight. One that tries after a hold; a few at a buyer that has not answered well of late, and
-- not for longer than a moment, lest one slow answer keep all others waiting; else as many as have lately gone well,
-- and some more (heard.lua). If the buyer is under maintenance, or limits us, a burst of all workers' threads must not
-- be what tells us.
local places = tonumber(pace[2])
local lease = tonumber(ARGV[2])
if not places then
  local well = tonumber(pace[3])
  if well and well + tonumber(ARGV[5]) > now then
    places = tonumber(pace[4]) or tonumber(ARGV[8])
    if places >= tonumber(ARGV[9]) then places = math.huge end
  else
    places = tonumber(ARGV[3])
    lease = tonumber(ARGV[4])
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
local flying = redis.call('ZCARD', KEYS[3])
if flying >= places then
  -- The more have been turned away since the last answer, the later they come again: a thousand leads that wait for one
  -- call must not keep the broker busy with their asking.
  local turned = redis.call('HINCRBY', KEYS[2], 'turned', 1)
  redis.call('HSET', KEYS[2], 'full', now)
  local poll = math.min(tonumber(ARGV[7]), math.floor(tonumber(ARGV[6]) * (1 + turned / 64)))
  return {'wait', tostring(poll), code, reason}
end
redis.call('ZADD', KEYS[3], now + lease, ARGV[1])
redis.call('PEXPIRE', KEYS[3], lease + 60000)
if flying + 1 > (tonumber(pace[7]) or 0) then redis.call('HSET', KEYS[2], 'peak', flying + 1) end
return {'go'}
