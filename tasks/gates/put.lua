-- Closes gates here that the ledger has closed.
-- KEYS: scopes (set), one gate (hash) each
-- ARGV: for each gate its scope, since, until (0: none), code, reason, when one lead may try it (0: not)
for place = 2, #KEYS do
  local at = (place - 2) * 6
  local scope, since, closes, code, reason = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local probe = tonumber(ARGV[at + 6])
  redis.call('HSET', KEYS[place], 'until', closes, 'code', code, 'reason', reason)
  redis.call('HSETNX', KEYS[place], 'since', since)
  redis.call('HSETNX', KEYS[place], 'turned_away', 0)
  if probe == 0 then
    redis.call('HDEL', KEYS[place], 'probe')
  elseif probe > (tonumber(redis.call('HGET', KEYS[place], 'probe')) or 0) then
    -- Later only: while one lead tries, its own place stands here.
    redis.call('HSET', KEYS[place], 'probe', probe)
  end
  redis.call('SADD', KEYS[1], scope)
end
