-- May a call be made now?
-- KEYS: gate (hash), pace (hash), flight (sorted set: ticket -> when its place is free again, ms)
-- ARGV: ticket, budget ms, cold places, cold ms, idle ms, poll ms
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

local pace = redis.call('HMGET', KEYS[2], 'hold', 'places', 'well', 'code', 'reason')
local hold = tonumber(pace[1]) or 0
if hold > now then
  return {'wait', tostring(hold - now), pace[4] or '', pace[5] or ''}
end

-- A buyer that has not answered well of late is tried by a few calls first: if it is under maintenance, or limits us, a
-- burst of all workers' threads must not be what tells us.
local places = tonumber(pace[2])
local lease = tonumber(ARGV[2])
if not places then
  if tonumber(pace[3]) and tonumber(pace[3]) + tonumber(ARGV[5]) > now then
    return {'go'}
  end
  places = tonumber(ARGV[3])
  lease = tonumber(ARGV[4])
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if redis.call('ZCARD', KEYS[3]) >= places then
  return {'wait', ARGV[6], pace[4] or '', pace[5] or ''}
end
redis.call('ZADD', KEYS[3], now + lease, ARGV[1])
redis.call('PEXPIRE', KEYS[3], lease + 60000)
return {'go'}
