-- Runs each command of the other scripts once, and returns the names of those that the user may not run.
-- Otherwise a script would stop in the middle, and an event would have a position that no node is sent.
-- KEYS: 1 a key that nothing else uses. ARGV: 1 the commands for history are needed if it is not '0'.
local key = KEYS[1]
local commands = {
  { 'SET', key, '', 'NX', 'GET', 'EX', 10 },
  { 'DEL', key },
  { 'HSET', key, 'a', 'b' },
  { 'HMGET', key, 'a' },
  { 'EXPIRE', key, 10 },
  { 'UNLINK', key },
}
if ARGV[1] ~= '0' then
  commands[#commands + 1] = { 'XADD', key, 'NOMKSTREAM', '*', 'a', 'b' }
  commands[#commands + 1] = { 'XRANGE', key, '-', '+', 'COUNT', 1 }
end
local refused = {}
for _, command in ipairs(commands) do
  local reply = redis.pcall(unpack(command))
  local reason = type(reply) == 'table' and reply.err
  if reason and (string.find(reason, 'permission') or string.find(reason, 'executing the script')
      or string.find(reason, 'Unknown Redis command')) then
    refused[#refused + 1] = command[1]
  end
end
return refused
