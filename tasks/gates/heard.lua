-- What a call brought.
-- KEYS: pace (hash), flight (sorted set)
-- ARGV: ticket, heard (well | wait | slow | nothing), code, reason, hold ms by growth step 1..n as "a,b,c", retry-after ms
--       (0: none), wide places, idle ms, narrow places
-- Returns {'closed', hold until ms} | {'opened', since ms} | {''}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], 'turned')

if ARGV[2] == 'nothing' then
  return {''}
end

local pace = redis.call('HMGET', KEYS[1], 'hold', 'step', 'places', 'since')
local held = tonumber(pace[2]) or 0

if ARGV[2] == 'well' then
  local last = tonumber(redis.call('HGET', KEYS[1], 'well')) or 0
  redis.call('HSET', KEYS[1], 'well', now)
  if held == 0 then
    -- As in TCP's slow start: the way widens by each good answer while calls are turned away from it, and narrows by a
    -- half each second in which not a quarter of it is used.
    local narrow, wide = tonumber(ARGV[9]), tonumber(ARGV[7])
    local way = redis.call('HMGET', KEYS[1], 'width', 'full', 'peak', 'looked')
    local width = tonumber(way[1]) or narrow
    if last + tonumber(ARGV[8]) <= now then
      width = narrow
    elseif (tonumber(way[2]) or 0) + 250 > now then
      width = math.min(width + 1, wide)
    elseif (tonumber(way[4]) or 0) + 1000 <= now then
      if (tonumber(way[3]) or 0) * 4 < width then width = math.max(math.ceil(width / 2), narrow) end
      redis.call('HSET', KEYS[1], 'peak', 0, 'looked', now)
    end
    if tostring(width) ~= way[1] then redis.call('HSET', KEYS[1], 'width', width) end
    return {''}
  end
  if (tonumber(pace[1]) or 0) > now then
    -- An answer to a call that began before the hold: it says nothing of now.
    return {''}
  end
  local places = (tonumber(pace[3]) or 1) * 2
  if places < tonumber(ARGV[7]) then
    redis.call('HSET', KEYS[1], 'places', places)
    return {''}
  end
  redis.call('HDEL', KEYS[1], 'hold', 'step', 'places', 'since', 'code', 'reason')
  redis.call('HSET', KEYS[1], 'width', ARGV[7])
  return {'opened', pace[4] or tostring(now)}
end

local hold = tonumber(pace[1]) or 0
local retry_after = tonumber(ARGV[6])
if hold > now then
  -- One of several calls that were in flight together: only the buyer's own wish can make the hold longer.
  if retry_after > 0 and now + retry_after > hold then
    redis.call('HSET', KEYS[1], 'hold', now + retry_after)
  end
  return {''}
end
local step = held + 1
local growth = {}
for ms in string.gmatch(ARGV[5], '%d+') do growth[#growth + 1] = tonumber(ms) end
local wait = growth[math.min(step, #growth)]
if retry_after > 0 then
  -- The buyer is taken at its word once. If that was too short, our own patience grows behind it, one step later.
  wait = math.max(retry_after, growth[math.min(step - 1, #growth)] or 0)
end
redis.call('HSET', KEYS[1], 'hold', now + wait, 'step', step, 'places', 1, 'code', ARGV[3], 'reason', ARGV[4])
redis.call('HSETNX', KEYS[1], 'since', now)
if held == 0 then
  return {'closed', tostring(now + wait)}
end
return {''}
