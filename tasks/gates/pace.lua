local function forget_the_pace(key)
  redis.call('HDEL', key, 'rate', 'rest', 'rest_s', 'age', 'limited', 'seen', 'next', 'share', 'last')
end

-- The pace in force at `now`, in calls a second, at most `ceiling` (0: none); nil where no limit is known.
--
-- heard.lua finds a limit when the buyer refuses. From there the pace comes back: to just under what the buyer has
-- taken, within RAMP_S; it rests there for `rest_s`, since each look beyond costs a refusal; then it grows, slowly at
-- first. Only time in which the pace kept somebody waiting counts: a pace that nobody needs has not been tried.
local function rate_now(key, now, ceiling)
  local known = redis.call('HMGET', key, 'rate', 'rest', 'age', 'limited', 'seen', 'rest_s')
  local rate = tonumber(known[1])
  if rate then
    local age = tonumber(known[3]) or 0
    if (tonumber(known[4]) or 0) + 1000 > now then
      age = age + math.min(math.max(now - (tonumber(known[5]) or now), 0), 1000)
    end
    redis.call('HSET', key, 'age', age, 'seen', now)
    local t, rest = age / 1000, tonumber(known[2])
    if not rest then
      rate = rate * SEARCH_GROWTH ^ (t + t * t / SEARCH_SLOW_S)
    elseif t < RAMP_S then
      rate = rate + (rest - rate) * (1 - (1 - t / RAMP_S) ^ 3)
    else
      t = math.max(0, t - RAMP_S - (tonumber(known[6]) or REST_S))
      rate = rest * (1 + FIRST_STEP * (STEP_GROWTH ^ t - 1) / (STEP_GROWTH - 1))
    end
    if rate > FREE_RATE then
      forget_the_pace(key)
      rate = nil
    end
  end
  if ceiling > 0 and (not rate or rate > ceiling) then rate = ceiling end
  if rate then redis.call('HSET', key, 'rate_now', string.format('%.1f', rate)) end
  return rate
end
