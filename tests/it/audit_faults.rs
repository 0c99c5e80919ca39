//! Faults that are put into a database, one for each check, and what the audit finds by them.

/// A statement that changes one row, and what is found then.
pub struct Fault {
    pub found: &'static str,
    pub sql: &'static str,
}

/// A message that was read after one call.
macro_rules! read {
    () => {
        "(select message_id from messages where status = 'read' and calls = 1 order by message_id limit 1)"
    };
}

/// The message that waits for its sender.
macro_rules! waiting {
    () => {
        "(select message_id from messages where due_at is not null)"
    };
}

const fn fault(found: &'static str, sql: &'static str) -> Fault {
    Fault { found, sql }
}

#[rustfmt::skip]
pub const FAULTS: [Fault; 28] = [
    fault("waits_unseen", concat!("update messages set due_at = null where message_id = ", waiting!())),
    fault("final_due", concat!("update messages set due_at = now() + interval '1 day' where message_id = ", read!())),
    fault("attempts_disagree", concat!("update messages set calls = 2 where message_id = ", read!())),
    fault("overdue", concat!("update messages set due_at = now() - interval '1 hour' where message_id = ", waiting!())),
    fault("lease_outlived", concat!("update messages set due_at = now() - interval '1 hour', lease = gen_random_uuid()
        where message_id = ", waiting!())),
    fault("unexplained_wait", "update instances set connection = 'open' where connection = 'connecting'"),
    fault("attempts_disagree", "update attempts set outcome = 'lost' where message_id =
        (select message_id from attempts where outcome = 'permanent')"),
    fault("attempt_open", "update attempts set outcome = null where outcome = 'permanent'"),
    fault("blind_second_call", "update attempts set outcome = 'unknown' where outcome = 'throttle_pair'"),
    fault("blind_second_call accepted_twice", "update attempts set outcome = 'accepted', provider_message_id = 'x'
        where outcome = 'throttle_pair'"),
    fault("accepted_forgotten", concat!("with counted as (
            update messages set calls = 1, provider_message_id = 'x' where message_id = ", waiting!(), " returning account_id, message_id)
        insert into attempts (account_id, message_id, attempt, outcome, provider_message_id)
        select account_id, message_id, 1, 'accepted', 'x' from counted")),
    fault("provider_id_disagrees", concat!("update messages set provider_message_id = 'x' where message_id = ", read!())),
    fault("rises_broken", concat!("delete from events where sequence = 2 and message_id = ", read!())),
    fault("status_disagrees", concat!("update messages set status = 'delivered' where message_id = ", read!())),
    fault("status_disagrees", concat!("update messages set sequence = 5 where message_id = ", read!())),
    fault("event_missing", concat!("delete from events where kind = 'message.read' and message_id = ", read!())),
    fault("decision_missing", concat!("delete from policy_log where message_id = ", read!())),
    fault("orphan quota_disagrees decision_without_message key_without_message",
        "delete from messages where message_id = (select message_id from idempotency_keys where key = 'order-1')"),
    fault("delivery_missing", "delete from webhook_deliveries where event_id =
        (select event_id from events where kind = 'message.read' order by event_id limit 1)"),
    fault("delivery_unseen", "update webhook_deliveries set status = 'pending' where event_id =
        (select event_id from events where kind = 'message.read' order by event_id limit 1)"),
    fault("delivery_unseen", "update webhook_deliveries set due_at = now() where event_id =
        (select event_id from events where kind = 'recipient.opted_out')"),
    fault("delivery_overdue", "update webhook_deliveries set status = 'pending', due_at = now() - interval '1 hour'
        where event_id = (select event_id from events where kind = 'message.read' order by event_id limit 1)"),
    fault("quota_disagrees", "update quota_usage set used = used + 1 where period = 'day' and account_id = 1"),
    fault("quota_disagrees", "update quota_usage set used = used - 1 where period = 'month' and account_id = 2"),
    fault("decision_without_message", "insert into policy_log (account_id, api_key_id, action, risk_score, message_id, request_id)
        values (1, gen_random_uuid(), 'allow', 0, gen_random_uuid(), 'r')"),
    fault("key_without_message", "insert into idempotency_keys (account_id, key, body_hash, message_id, log_id)
        values (1, 'order-9', '', gen_random_uuid(), 1)"),
    fault("callback_given_up", "insert into callbacks (account_id, body_hash, provider, body, tries)
        values (1, '\\x07', 'meta', '', 10)"),
    fault("callback_parked", "insert into callbacks (account_id, body_hash, provider, body, due_at, received_at)
        values (1, '\\x07', 'meta', '', now() + interval '1 minute', now() - interval '2 hours')"),
];
