//! The steps of the store in Redis, each a script that the server runs atomically.

use std::sync::LazyLock;

use redis::{Script, ScriptInvocation};

// Each script works on what is under one name: a hash with the token and its number, the failure, and
// the number of the claim. A number is the server's time in microseconds, or one more than the last:
// there is no counter that could be evicted and start over. Numbers of 53 bits are exact in Lua.

pub(super) static LOOK_OR_CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local token = redis.call('HMGET', KEYS[1], 'number', 'value')
        local left = redis.call('PTTL', KEYS[1])
        local last = tonumber(token[1]) or 0
        if last > 9007199254740000 or left < 0 then last = 0 end
        if token[2] and last > tonumber(ARGV[1]) then
            return {'token', last, left, token[2]}
        end
        local failed = redis.call('PTTL', KEYS[2])
        if failed > 0 and ARGV[2] == '0' then
            return {'failed', 0, failed, redis.call('GET', KEYS[2])}
        end
        local claim = tonumber(redis.call('GET', KEYS[3]))
        if claim and failed <= 0 and redis.call('PTTL', KEYS[3]) > 0 then
            return {'taken', claim, 0, ''}
        end
        if failed > 0 then redis.call('DEL', KEYS[2]) end
        local time = redis.call('TIME')
        local number = math.max(time[1] * 1000000 + time[2], last + 1)
        redis.call('SET', KEYS[3], string.format('%.0f', number), 'PX', ARGV[3])
        return {'claimed', number, 0, ''}",
    )
});

pub(super) static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local last = tonumber(redis.call('HGET', KEYS[1], 'number')) or 0
        if last <= tonumber(ARGV[1]) or redis.call('PTTL', KEYS[1]) < 0 then
            redis.call('HSET', KEYS[1], 'number', ARGV[1], 'value', ARGV[2])
            redis.call('PEXPIRE', KEYS[1], ARGV[3])
            redis.call('DEL', KEYS[2])
        end
        if redis.call('GET', KEYS[3]) == ARGV[1] then
            redis.call('DEL', KEYS[3])
        end",
    )
});

pub(super) static EXTEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "return redis.call('GET', KEYS[3]) == ARGV[1] and redis.call('PEXPIRE', KEYS[3], ARGV[2])",
    )
});

pub(super) static FAIL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[3]) == ARGV[1] then
            redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
            redis.call('PEXPIRE', KEYS[3], ARGV[4])
        end",
    )
});

/// A step on what is kept under a name.
pub(super) fn of_name<'a>(script: &'a Script, name: &str) -> ScriptInvocation<'a> {
    let mut invocation = script.prepare_invoke();
    for key in ["token", "failure", "claim"] {
        invocation.key(format!("{{tower-oauth:{name}}}:{key}"));
    }
    invocation
}
